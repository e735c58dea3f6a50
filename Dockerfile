# fastvae, with its machine code compiled: docker build -t fastvae . ; how to run it, and what
# another processor does, is in docs/installing.md. tests/dockerfile.py runs these lines without Docker.
FROM python:3.13-slim AS build
COPY . /src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src

FROM python:3.13-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -r /wheels
# User 1000 owns the folder of machine code: what another processor needs is added to it.
ENV HOME=/home/fastvae FASTVAE_CACHE=/home/fastvae/cache
RUN install -d -o 1000 -g 1000 /home/fastvae /work
USER 1000:1000
RUN fastvae warmup
WORKDIR /work
ENTRYPOINT ["fastvae"]
CMD ["info"]
