# Two stages: the first fetches Deno and the locked packages from the npm registry and checks that the
# program loads; the second holds only what runs, as a user without rights.
#
#   docker build -t pegasus .
#   docker run -p 127.0.0.1:34601:34601 -v meta:/data pegasus meta --listen=0.0.0.0:34601 --http=0.0.0.0:34900
#
# A replica server has a port per shard: --listen=HOST:34801 --shard-port=34802 keeps them to those below.
# Data is below /data. Give servers --http=0.0.0.0:34900, or set PEGASUS_HTTP to where they have it: that is
# what the health check asks. A cluster to try out: docs/deploy/compose.yaml.

FROM node:20-bookworm-slim AS build
WORKDIR /app
RUN npm install --global deno@2.9.6
ENV DENO_DIR=/deno DENO_NO_UPDATE_CHECK=1
COPY deno.json deno.lock ./
COPY src src
COPY storage storage
COPY roles roles
# Test tools and the sources of native addons stay behind.
RUN deno install --frozen --entrypoint roles/main.ts \
  && rm -rf node_modules/.deno/classic-level@*/node_modules/classic-level/deps /deno/npm \
  && deno run --no-prompt --cached-only -R -E roles/main.ts --version
# The runtime itself, without npm around it.
RUN cp "$(deno eval 'console.log(Deno.execPath())')" /usr/local/bin/deno-runtime

FROM debian:bookworm-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin --home-dir /data pegasus && install -d -o pegasus /data
COPY --from=build /usr/local/bin/deno-runtime /usr/local/bin/deno
COPY --from=build /deno /deno
COPY --from=build /app /app
RUN printf '%s\n' '#!/bin/sh' \
  'exec deno run --quiet --no-prompt --cached-only --v8-flags=--max-semi-space-size=4 --allow-read --allow-write --allow-net --allow-env --allow-sys --allow-ffi /app/roles/main.ts "$@"' \
  > /usr/local/bin/pegasus && chmod 755 /usr/local/bin/pegasus
ENV DENO_DIR=/deno DENO_NO_UPDATE_CHECK=1 PEGASUS_HTTP=127.0.0.1:34900
USER pegasus
# Relative defaults such as data/replica are then below /data.
WORKDIR /
VOLUME /data
EXPOSE 34601 34801 34802 34803 34804 34805 34806 34807 34808 34900
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD pegasus health --http "$PEGASUS_HTTP"
ENTRYPOINT ["pegasus"]
CMD ["--help"]
