# Two stages: the first fetches Deno and the locked packages from the npm registry and checks that the
# program loads; the second holds only what runs, as a user without rights.
#
#   docker build -t pegasus .
#   docker run -p 34601:34601 -v meta:/data pegasus meta --listen=0.0.0.0:34601
#   docker run -p 34801:34801 -v r1:/data pegasus replica --listen=r1.example:34801 --meta=m1.example:34601

FROM node:20-bookworm-slim AS build
WORKDIR /app
RUN npm install --global deno@2.9.6
COPY deno.json deno.lock ./
COPY src src
COPY storage storage
COPY roles roles
ENV DENO_DIR=/deno
RUN deno install --frozen --entrypoint roles/main.ts && deno run --no-prompt -R -E roles/main.ts --version
# The runtime itself, without npm around it.
RUN cp "$(deno eval 'console.log(Deno.execPath())')" /usr/local/bin/deno-runtime

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /data pegasus && mkdir /data && chown pegasus /data
COPY --from=build /usr/local/bin/deno-runtime /usr/local/bin/deno
COPY --from=build /deno /deno
COPY --from=build /app /app
ENV DENO_DIR=/deno DENO_NO_UPDATE_CHECK=1
USER pegasus
WORKDIR /data
VOLUME /data
EXPOSE 34601 34801
STOPSIGNAL SIGTERM
ENTRYPOINT ["deno", "run", "--quiet", "--no-prompt", "--cached-only", \
  "--allow-read", "--allow-write", "--allow-net", "--allow-env", "--allow-sys", "--allow-ffi", \
  "/app/roles/main.ts"]
CMD ["--help"]
