"""That the kernels compute what they should, and compile for GPUs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmghm.models.losses.ops import triton_cross_entropy

pytestmark = pytest.mark.slow

pytest.importorskip('triton')


def test_interpreted():
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'pytest',
            '-q',
            str(Path(__file__).with_name('interpreted_kernels.py')),
        ],
        env={**os.environ, 'TRITON_INTERPRET': '1'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert ' passed' in done.stdout


POINTERS = dict(
    logits_ptr='*bf16',
    out_ptr='*bf16',
    target_ptr='*i64',
    stride='i32',
    grad_stride='i32',
    num_classes='i32',
)


@pytest.mark.parametrize('capability', [80, 90])
@pytest.mark.parametrize(
    'name, constants',
    [
        (name, dict(HAS_BIAS=True, ONE_SIDED=one_sided, BLOCK=8192))
        for name in ('forward_kernel', 'backward_kernel')
        for one_sided in (True, False)
    ],
)
def test_compiles_for_gpus(name, constants, capability):
    from triton import compile as compile_kernel
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(triton_cross_entropy._kernels(), name)
    signature = {
        argument: 'constexpr'
        if argument in constants
        else POINTERS.get(argument, '*fp32')
        for argument in kernel.arg_names
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    compiled = compile_kernel(
        source,
        target=GPUTarget('cuda', capability, 32),
        options=dict(debug=kernel.debug),
    )
    assert 'cubin' in compiled.asm
