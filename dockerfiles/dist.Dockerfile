# What a build makes, and nothing else: `--output DIR` puts it on the host.
FROM scratch AS dist
COPY --from=wheel /dist /
