"""What is read is what was written, or is refused."""

import torch
from mmengine.runner import CheckpointLoader

from .files import Files


def test_addresses_of_one_name_are_told_apart(serve, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    address = serve(Files)
    for number, place in enumerate(('/a/best.pth', '/b/best.pth')):
        torch.save(dict(x=torch.tensor(number)), tmp_path / 'file')
        Files.content[place] = (tmp_path / 'file').read_bytes()
    read = [
        int(CheckpointLoader.load_checkpoint(f'{address}{place}')['x'])
        for place in ('/a/best.pth', '/b/best.pth', '/a/best.pth')
    ]
    assert read == [0, 1, 0]
