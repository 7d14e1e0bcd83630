"""Sign the files of a version, and verify them, with a key pair of the stack (OpenSSF model signing, key mode).

Format: https://github.com/sigstore/model-transparency
"""

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing, verifying

from stream.files import FileLock, file_digest, replace_file
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import VersionFolder, version_of
from stream.loop.training.manifest import VersionManifest, read_version

_FOLDER_MODE = 0o700
#: The files of an adapter in a version.
ADAPTER_FILES = {"adapter_config.json", "adapter_model.safetensors"}


def ensure_keys(home: Path) -> Path:
    """Return the private key of the stack in `home`, which only its owner can read; create the key pair at the first call."""
    folder = _folder(home)
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    private = folder / "private.pem"
    with FileLock.acquire(folder / "lock"):
        if not private.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            public = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            secret = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            replace_file(public_key(home), public, durable=True)
            replace_file(private, secret, durable=True)
    return private


def public_key(home: Path) -> Path:
    """Return the public key, which verifies the versions of the stack in `home`."""
    return _folder(home) / "public.pem"


def sign(folder: VersionFolder, private_key: Path) -> None:
    """Sign all files of `folder`."""
    config = signing.Config().use_elliptic_key_signer(private_key=private_key)  # type: ignore[no-untyped-call]
    hashes = hashing.Config().set_ignored_paths(paths=[folder.signature], ignore_git_paths=False)  # type: ignore[no-untyped-call]
    config.set_hashing_config(hashes).sign(folder.path, folder.signature)
    os.chmod(folder.signature, 0o600)  # noqa: PTH101 - as the other files


def verify_version(home: Path, version: str) -> VersionManifest:
    """Check the signature, the digests and the name of `version`, and return its manifest; raises TrainingError."""
    folder, manifest = VersionFolder.of(home, version), read_version(home, version)
    trained = manifest.smaller is None
    _verify(folder, public_key(home), ADAPTER_FILES if trained else set())
    if folder.merged.exists() and not manifest.weights_digest:  # replicas load this file
        raise TrainingError(f"{folder.merged} was not signed with the version; delete the file")
    if version_of(file_digest(folder.weights if trained else folder.merged)) != version:
        raise TrainingError(f"{folder.path} is not named by the digest of its weights; delete it and make it again")
    return manifest


def _verify(folder: VersionFolder, public: Path, adapter_files: set[str]) -> None:
    """Check that the files of `folder` are those that were signed with the private key of `public`.

    Later reports beside the signed files, such as that of the gate, are allowed; more files in the adapter are not.

    Raises TrainingError with the name of a changed, missing or additional file.
    """
    if not public.is_file() or not folder.signature.is_file():
        missing = public if not public.is_file() else folder.signature
        raise TrainingError(f"{folder.path.name} cannot be verified: {missing} does not exist")
    config = verifying.Config().use_elliptic_key_verifier(public_key=public)  # type: ignore[no-untyped-call]
    config.set_ignore_unsigned_files(ignore_unsigned_files=True)
    try:
        config.verify(folder.path, folder.signature)
    except (ValueError, OSError) as error:
        raise TrainingError(
            f"{folder.path.name} does not fit its signature: {error}; delete {folder.path} and make it again"
        ) from error
    if more := {path.name for path in folder.adapter.glob("*")} - adapter_files:
        raise TrainingError(f"{folder.adapter} contains {min(more)}, which was not signed; delete the file")


def _folder(home: Path) -> Path:
    return home / "loop" / "signing"
