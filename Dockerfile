# README's first command on a CPU:
#     docker build -t mmghm . && docker run --rm mmghm
# Any other: docker run --rm -v "$PWD:/data" -w /data mmghm mmghm train ...
FROM python:3.11-slim

# What OpenCV loads.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
# The address of PyTorch's CPU wheels saves 5 GB of CUDA:
#     docker build --build-arg TORCH_INDEX=ADDRESS -t mmghm .
ARG TORCH_INDEX=
RUN pip install --no-cache-dir torch torchvision \
    ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
WORKDIR /mmghm
COPY . .
RUN pip install --no-cache-dir '.[lite]'
CMD ["python", "tools/train.py", "configs/ghm_cwap/resnet8_digits_lt.py"]
