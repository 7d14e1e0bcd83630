# The serving image with vLLM, for NVIDIA GPUs (docs/vllm.md). `docker build -f deploy/images/serving-vllm.Dockerfile .`
# Like weir.Dockerfile, but from its own lock file, by hash.
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY deploy/images/requirements-uv.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-uv.lock \
 && uv venv /opt/weir \
 && uv venv /opt/tools
COPY pyproject.toml requirements-vllm.lock ./
# Dependencies first, in a layer of their own: a change of Weir's code does not download them again.
RUN uv pip install --python /opt/weir --require-hashes -c requirements-vllm.lock -r pyproject.toml \
      --extra serving --extra guard --extra supervise --extra vllm \
 && uv pip install --python /opt/tools --require-hashes -c requirements-vllm.lock --group pyproject.toml:build
COPY README.md LICENSE ./
COPY detectors detectors
COPY stream stream
COPY serving serving
COPY weir weir
RUN uv build --wheel --no-build-isolation --python /opt/tools --out-dir dist \
 && uv pip install --python /opt/weir --no-deps dist/*.whl

FROM ${PYTHON}
# Triton compiles the launchers of its kernels when vLLM starts. Debian keeps only the newest version of a package.
# hadolint ignore=DL3008
RUN apt-get update -q \
 && apt-get install -qy --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 weir \
 && useradd --uid 10001 --gid weir --home-dir /var/lib/weir --no-create-home --shell /usr/sbin/nologin weir \
 && install -d -o weir -g weir -m 0700 /var/lib/weir /var/lib/weir/spool \
      /var/lib/weir/routes /var/lib/weir/loop /var/lib/weir/loop/models
COPY --from=build /opt/weir /opt/weir
# Ray's sockets and the proxy's script are in /tmp, which must allow execution. HOME is where libraries put caches; those of vLLM,
# with compiled kernels, are kept.
ENV PATH=/opt/weir/bin:$PATH WEIR_HOME=/var/lib/weir WEIR_MODEL__CACHE=/var/lib/weir/models VLLM_CACHE_ROOT=/var/lib/weir/vllm HOME=/tmp PYTHONUNBUFFERED=1
WORKDIR /var/lib/weir
USER 10001:10001
EXPOSE 8000 9464
CMD ["weir", "up", "--only", "ray", "--only", "serve"]
