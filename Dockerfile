# docs/docker.md says how it is run. The build stage has uv; what runs has Python, the packages and nothing else.
FROM python:3.13-slim-bookworm AS build
ARG EXTRAS=postgres
WORKDIR /src
RUN pip install --no-cache-dir uv==0.13.9
COPY pyproject.toml requirements-dev.lock README.md LICENSE ./
COPY mcp_server mcp_server
COPY tools tools
COPY resources resources
# The versions are those that the gate tested. Bytecode is compiled here: who runs it may not write it.
RUN uv venv --no-cache /opt/desk \
 && uv pip install --no-cache --python /opt/desk/bin/python --compile-bytecode --constraint requirements-dev.lock ".[$EXTRAS]"

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="DataMCPServerAgent" \
      org.opencontainers.image.licenses="MIT" \
      io.modelcontextprotocol.server.name="io.github.data-mcp-server-agent/data-mcp-server-agent"
RUN useradd --uid 10001 --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin desk \
 && install --directory --owner=desk --group=desk --mode=0700 /data
COPY --from=build /opt/desk /opt/desk
ENV PATH="/opt/desk/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    DATAMCP_DATABASE="sqlite:////data/desk.db"
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; server = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('DATAMCP_PORT') or 8765), timeout=4); server.request('GET', '/health'); sys.exit(server.getresponse().status != 200)"]
ENTRYPOINT ["data-mcp-server-agent"]
# Beyond loopback it serves nobody before a key was made (`key create`), and says so.
CMD ["serve", "--transport", "http", "--host", "0.0.0.0"]
