# Both programs in one image without a shell: `brazecdc run` by default, `brazesim` with another entry point.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd ./cmd
COPY connector ./connector
COPY schemas ./schemas
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/usr/local/bin/ ./cmd/brazecdc ./cmd/brazesim
# What the programs expect of a system: certificates, time zones, a /tmp, and a folder for their state.
RUN mkdir -p /out/etc/ssl/certs /out/usr/share /out/tmp \
 && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
 && cp "$(go env GOROOT)/lib/time/zoneinfo.zip" /out/usr/share/zoneinfo.zip \
 && chmod 1777 /out/tmp \
 && mkdir -p /state/data /state/cache

FROM scratch
COPY --from=build /out/ /
COPY --from=build --chown=65532:65532 /state/ /var/lib/brazecdc/
ENV ZONEINFO=/usr/share/zoneinfo.zip PATH=/usr/local/bin
WORKDIR /var/lib/brazecdc
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/brazecdc"]
CMD ["run", "--config", "/etc/brazecdc/brazecdc.yaml"]
