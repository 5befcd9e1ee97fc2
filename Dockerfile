# The image of a node: built in the first stage, run from the second, which has no compiler.
#
#     docker build -t testmesh .
#
# PIP_INDEX_URL and the proxies' variables may be given as build arguments; what else this machine's
# network wants goes into deploy/docker/local/ (see there). Neither gets into the second stage.
FROM debian:bookworm-slim AS build

ARG DEBIAN_FRONTEND=noninteractive
COPY deps/debian.txt deps/python-tools.txt /src/deps/
# Of what boot.sh installs: libraries and what compiles, not what the tests want.
RUN grep -E '^(build-essential|ca-certificates|cmake|ninja-build|pkg-config|python3|python3-venv|lib.*-dev)$' \
        /src/deps/debian.txt >/src/packages \
    && apt-get update -q \
    && xargs apt-get install -y -q --no-install-recommends </src/packages

# uv installs environments several times faster than pip; where it cannot be had the node takes pip.
ARG PIP_INDEX_URL=
COPY deploy/docker/local /local
RUN mkdir -p /out/bin \
    && if [ -s /local/ca.crt ]; then export PIP_CERT=/local/ca.crt; fi \
    && if [ -z "$PIP_INDEX_URL" ]; then unset PIP_INDEX_URL; fi \
    && python3 -m venv /tools \
    && if /tools/bin/pip install --quiet --disable-pip-version-check --no-cache-dir \
            --find-links /local/wheels -r /src/deps/python-tools.txt; \
        then cp /tools/bin/uv /out/bin/; \
        else echo "uv could not be installed: pip is used instead" >&2; fi

# By folder, so that what belongs to the second stage or to the front does not make all of it anew.
COPY CMakeLists.txt CMakePresets.json /src/
COPY cmake /src/cmake
COPY proto /src/proto
COPY loadbalance /src/loadbalance
COPY runner /src/runner
COPY cli /src/cli
COPY node /src/node
COPY docs/openapi.json /src/docs/
COPY examples /src/examples
ARG JOBS=
RUN cmake -S /src -B /build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DTESTMESH_TESTS=OFF \
    && cmake --build /build --parallel ${JOBS:-$(nproc)} --target testmesh \
    && cp /build/testmesh /out/bin/ && strip /out/bin/testmesh
# The Debian packages that have the libraries it loads.
RUN readelf -d /out/bin/testmesh | sed -nE 's/.*NEEDED.*\[(.*)\]/\1/p' \
        | while read -r name; do ldconfig -p | awk -v name="$name" '$1 == name { print $NF; exit }'; done \
        | while read -r file; do dpkg -S "*/$(basename "$(readlink -f "$file")")" | cut -d: -f1; done \
        | sort -u >/out/packages && cat /out/packages

FROM debian:bookworm-slim

ARG DEBIAN_FRONTEND=noninteractive
COPY --from=build /out/packages /tmp/packages
# tini is process 1: of a sandbox that ends something may be left for it to reap.
RUN apt-get update -q \
    && xargs apt-get install -y -q --no-install-recommends \
        bubblewrap ca-certificates python3 python3-venv tini </tmp/packages \
    && rm -rf /var/lib/apt/lists/* /tmp/packages \
    && useradd --uid 1000 --user-group --no-create-home --home-dir /var/lib/testmesh --shell /usr/sbin/nologin testmesh \
    && install -d -o testmesh -g testmesh -m 0700 /var/lib/testmesh /var/lib/testmesh-secrets
COPY --from=build /out/bin/ /usr/local/bin/
COPY deploy/docker/entrypoint.sh deploy/docker/healthcheck.sh /usr/local/lib/testmesh/

ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="testmesh" \
      org.opencontainers.image.description="A node that runs Python test suites in sandboxes and gives marks" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT"
ENV LANG=C.UTF-8 \
    TESTMESH_OPERATOR_TOKEN_FILE=/var/lib/testmesh/operator.token
USER 1000:1000
WORKDIR /var/lib/testmesh
# What runs is finished first: --drain-timeout, and somewhat more before the engine loses patience.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["/usr/local/lib/testmesh/healthcheck.sh"]
ENTRYPOINT ["tini", "--", "/usr/local/lib/testmesh/entrypoint.sh"]
CMD ["node"]
