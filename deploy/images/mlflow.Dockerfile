# MLflow, of the version that the lock file names and the tests run. `docker build -f deploy/images/mlflow.Dockerfile .`
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY deploy/images/requirements-uv.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-uv.lock \
 && uv venv /opt/mlflow
COPY pyproject.toml requirements.lock ./
RUN uv pip install --python /opt/mlflow --require-hashes -c requirements.lock -r pyproject.toml --extra traceview

FROM ${PYTHON}
RUN groupadd --gid 10001 mlflow \
 && useradd --uid 10001 --gid mlflow --home-dir /var/lib/mlflow --no-create-home --shell /usr/sbin/nologin mlflow \
 && install -d -o mlflow -g mlflow -m 0700 /var/lib/mlflow
COPY --from=build /opt/mlflow /opt/mlflow
ENV PATH=/opt/mlflow/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
WORKDIR /var/lib/mlflow
USER 10001:10001
EXPOSE 5000
CMD ["mlflow", "--help"]
