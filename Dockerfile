# The server alone, without the private Postgres and the local sign-in. So DATABASE_URL and
# SUPABASE_URL or OIDC_ISSUER must be set. The build stage and the final stage are both Debian 12,
# because the binary is linked with the libc of Debian 12.

FROM rust:1.95.0-bookworm AS chef
RUN cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /build

FROM chef AS planner
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS builder
# Dependencies have a separate layer: Docker builds it again only when Cargo.toml or Cargo.lock change.
COPY --from=planner /build/recipe.json recipe.json
RUN cargo chef cook --release --locked --no-default-features --recipe-path recipe.json
COPY . .
RUN cargo build --release --locked --no-default-features --bin thread-store

# This base image has libc and CA certificates, and no shell. It runs the server as uid 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY LICENSE-MIT LICENSE-APACHE /licenses/
COPY --from=builder /build/target/release/thread-store /thread-store
ENV HOST=0.0.0.0
EXPOSE 2024
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/thread-store", "healthcheck"]
ENTRYPOINT ["/thread-store"]
