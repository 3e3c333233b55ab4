"""What holds for every annotation format: `format_examples` has one data set of each."""

import numpy as np
import pytest
from format_examples import PICTURES, write_example

from mrcnn.data.loading import load

FORMATS = pytest.mark.parametrize("format", PICTURES)


def paths(folder):
    return sorted(x for x in folder.rglob("*") if x.is_file())


@FORMATS
def test_hidden_files_beside_all_others_do_not_matter(tmp_path, format):
    """As macOS leaves them in archives: `._a.png`, of its own format."""
    mask = write_example(format, tmp_path)
    for path in paths(tmp_path):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7" + bytes(80))
    dataset = load(tmp_path, verbose=0)
    assert dataset.source == format and dataset.num_images == 1
    np.testing.assert_array_equal(dataset.load_mask(0)[0], mask[:, :, None])
