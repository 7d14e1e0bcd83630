"""Training of the model that decides whether a system prompt keeps something secret from its users.

A logistic regression with TF-IDF on the system prompts of ``texts/written_*.toml``: those with a secret, against the others. Many of
the others order the assistant to conceal something without value, such as its instructions, or forbid requests; eight prompts
that forbid requests also contain a secret. The figures are of prompts of other authors (``texts/second_*.toml``).
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from detectors.models.term_model import PIECE, WORDS, TermModel
from detectors.train.averaged_training import Log
from detectors.train.templates import read_source

#: The kinds of the system prompts with a secret.
POSITIVE = ("secret", "short_secret", "guarded")
#: Minimum number of prompts that contain a term, and inverse of the L2 penalty.
LEAST, STRENGTH = 3, 10.0


def system_prompts(author: str) -> dict[str, tuple[str, ...]]:
    """Return the system prompts of ``texts/AUTHOR_*.toml`` by kind."""
    guarded, forbidding = (read_source(f"{author}_{file}").scenarios for file in ("guarded", "styles"))
    return {
        **read_source(f"{author}_systems").templates,
        "guarded": tuple(scenario.system for scenario in guarded),
        "forbidding": tuple(scenario.system for scenario in forbidding),
    }


def train(out: Path, *, log: Log) -> None:
    """Train the model, write it to ``out``, and log the share of other authors' prompts of each kind that it finds."""
    known = [(text, kind in POSITIVE) for kind, texts in system_prompts("written").items() for text in texts]
    texts, labels = [text for text, _ in known], np.array([label for _, label in known])
    terms = TfidfVectorizer(token_pattern=PIECE, ngram_range=(1, WORDS), min_df=LEAST, binary=True)
    inputs = terms.fit_transform(texts)
    fitted = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=1000).fit(inputs, labels)
    names = terms.get_feature_names_out().tolist()
    state = {
        "terms": np.frombuffer("\n".join(names).encode(), dtype=np.uint8).copy(),
        "frequencies": terms.idf_.astype(np.float32),
        "weights": fitted.coef_[0].astype(np.float32),
        "bias": fitted.intercept_.astype(np.float32),
    }
    save_file(state, out)
    log(f"{len(texts)} system prompts, {labels.mean():.3f} with a secret, {len(names)} terms")
    model = TermModel(names, state["frequencies"], state["weights"], float(state["bias"][0]))
    for kind, other in system_prompts("second").items():
        found = sum(model.log_odds(text) >= 0.0 for text in other)
        log(f"{kind}: {found} of {len(other)} keep a secret")
