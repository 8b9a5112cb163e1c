# The three programs on Debian 12. Build it with `make image`.
#
# build    compiles and tests; fails where a test fails
# runtime  Debian's shared libraries, LibTorch's for spanlm-train, the programs
#          and the demo model

FROM docker.io/library/debian:bookworm-slim AS build
WORKDIR /src
# Apart, so that a change of the sources fetches nothing again.
COPY tools/setup.sh tools/setup.sh
RUN tools/setup.sh && apt-get install -y -qq --no-install-recommends patchelf
COPY . .
RUN make build && make test
# Of the libraries below .deps those that the loader asks for, and no other.
RUN mkdir -p /out/bin /out/lib \
 && cp build/release/bin/spanlm build/release/bin/spanlm-server \
       build/release/bin/spanlm-train /out/bin/ \
 && ldd build/release/bin/spanlm-train \
    | awk '$3 ~ "/[.]deps/" {print $3}' | xargs -I{} cp -L {} /out/lib/ \
 && strip /out/bin/* \
 && patchelf --set-rpath '$ORIGIN/../lib' /out/bin/* \
 && patchelf --set-rpath '$ORIGIN' /out/lib/*

FROM docker.io/library/debian:bookworm-slim AS runtime
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="SpanLM" \
      org.opencontainers.image.description="Inference server and trainer for byte-level Adaptive-Span and Transformer-XL models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
      --no-install-recommends \
      libabsl20220623 libgrpc++1.51 libprotobuf32 libprometheus-cpp-pull1.0 \
      libspdlog1.10 libhwy1 libzip4 libssl3 tini \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /opt/spanlm/
COPY --from=build /src/models/demo/ /opt/spanlm/models/demo/
COPY --from=build /src/LICENSE /opt/spanlm/
ENV PATH=/opt/spanlm/bin:/usr/bin:/bin
# Every program loads its libraries, or there is no image.
RUN spanlm --version && spanlm-server --version && spanlm-train --version
USER 65532:65532
WORKDIR /tmp
# Data, health, metrics; the admin listener stays on the container's loopback.
EXPOSE 50051 50053 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["spanlm", "health", "--address", "127.0.0.1:50053", "--service", "ready"]
ENTRYPOINT ["tini", "--"]
# Flags, not ENV: the three programs share the names SPANLM_<FLAG>.
CMD ["spanlm-server", "--model", "demo=/opt/spanlm/models/demo", \
     "--dataset-root", "/opt/spanlm/models/demo", \
     "--listen", "0.0.0.0:50051", "--insecure", \
     "--health-listen", "0.0.0.0:50053", "--metrics-listen", "0.0.0.0:9464"]
