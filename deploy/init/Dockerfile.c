# Needs a checkout of prelabel beside it, named when it is built:
#   docker build --build-context prelabel=../prelabel -t @NAME@ .
FROM debian:bookworm-slim
RUN --mount=from=prelabel,target=/src,rw \
    apt-get update && apt-get install -y --no-install-recommends make && \
    sh /src/deploy/deps.sh install build && make -C /src install PREFIX=/usr BUILD=/tmp/prelabel && \
    rm -rf /tmp/prelabel /var/lib/apt/lists/*
WORKDIR /app
COPY . .
RUN make clean && make
ENV HOST=0.0.0.0 PORT=9090 MODEL_DIR=/data
VOLUME /data
EXPOSE 9090
CMD ["prelabel", "start", "/app"]
