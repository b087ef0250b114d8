# One image for every part of the system; the command decides which: `ticketsync run linker`, `ticketsync migrate`, ...
# The layers go from what changes least to what changes most: runtime requirements first, the code last. Nothing here
# needs BuildKit, and nothing that is not locked by its hash is installed.
FROM python:3.11-slim-bookworm AS requirements
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# Without pip of its own: the image has one already, and the services need none.
RUN python -m venv --without-pip /opt/ticketsync
COPY requirements.lock /src/
RUN pip --python /opt/ticketsync/bin/python install --quiet --require-hashes --only-binary :all: -r /src/requirements.lock

FROM requirements AS code
RUN python -m venv /opt/build
COPY docker/build.lock /src/docker/
RUN /opt/build/bin/pip install --quiet --require-hashes --only-binary :all: -r /src/docker/build.lock
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY shared shared
COPY services services
COPY local local
COPY ops ops
# A folder of its own, so that a change of the code is a layer of one megabyte and not all requirements again.
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /opt/ticketsync/bin/python install --quiet --no-deps --no-index --target /opt/code /wheels/*.whl

FROM python:3.11-slim-bookworm
# The data folder is only the cloud emulator's. Its settings come from the environment, so this file of them is empty;
# a new volume starts as a copy of the folder, owner included.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/ticketsync --shell /usr/sbin/nologin ticketsync \
 && install --directory --owner ticketsync --group ticketsync /var/lib/ticketsync \
 && echo '{}' >/var/lib/ticketsync/settings.json
COPY --from=requirements /opt/ticketsync /opt/ticketsync
COPY docker/healthy /usr/local/bin/healthy
COPY --from=code /opt/code /opt/code
ENV PATH=/opt/code/bin:/opt/ticketsync/bin:$PATH PYTHONPATH=/opt/code PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/ticketsync
EXPOSE 8081 8082 8083 8090
# Which port and path is for whoever starts it to say: `healthy 8081 /readyz` (see docker-compose.yml).
ENTRYPOINT ["ticketsync"]
CMD ["--help"]
