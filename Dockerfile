# The image of the AWS Lambda function of `bams3 cloud deploy --image`; its handler calls variants.
#   docker build -t bams3-lambda .
FROM rust:1.90-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv && python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir 'maturin>=1.9,<2'
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY rust rust
COPY python python
RUN /venv/bin/maturin build --release --out /wheels

# Amazon Linux 2023, glibc 2.34. libcurl comes with pycurl; htslib needs none, as bams3 reads S3 itself.
FROM public.ecr.aws/lambda/python:3.12
LABEL org.opencontainers.image.title="bams3-lambda" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir "$(ls /tmp/wheels/*.whl)[cloud]" && rm -rf /tmp/wheels
CMD ["bams3.variants.handler.lambda_handler"]
