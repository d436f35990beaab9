# syntax=docker/dockerfile:1
# One build, one small image a service. `docker compose up --build` calls it.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
        -p ingest-gateway -p normalizer-worker -p query-api -p millrace-admin -p millrace-devstack \
    && mkdir /out \
    && cp target/release/ingest-gateway target/release/normalizer-worker target/release/query-api \
          target/release/millrace-admin target/release/devstack /out/

FROM debian:bookworm-slim AS runtime
# curl asks the admin port for the container's health.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin millrace
USER 10001:10001

FROM runtime AS ingest-gateway
COPY --from=build /out/ingest-gateway /usr/local/bin/
EXPOSE 8080 9180
ENTRYPOINT ["ingest-gateway"]

FROM runtime AS normalizer-worker
COPY --from=build /out/normalizer-worker /usr/local/bin/
EXPOSE 9181
ENTRYPOINT ["normalizer-worker"]

FROM runtime AS query-api
COPY --from=build /out/query-api /usr/local/bin/
EXPOSE 8081 9182
ENTRYPOINT ["query-api"]

# Applies the schema, administers: `docker compose run --rm admin --help`.
FROM runtime AS tools
COPY --from=build /out/millrace-admin /out/devstack /usr/local/bin/
COPY clickhouse-init /opt/millrace/clickhouse-init
COPY timescale-init /opt/millrace/timescale-init
