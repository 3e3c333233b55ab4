"""What int8 costs and gains: OpenVINO's float32 and int8 of trained nuclei, scored and timed.

python benchmarks/int8.py --dataset DIR --checkpoint FILE --out OUT

DIR is the data set of `train_nuclei.py`, FILE its checkpoint. int8 is calibrated with the training
pictures; both files are scored on the 25 others, and run in turn on one of them.
"""

import argparse
from pathlib import Path

import machine
import numpy as np
import train_nuclei

from mrcnn.evaluate import format_table
from mrcnn.export import export_int8
from mrcnn.export.exporting import export
from mrcnn.export.openvino_file import open_file
from mrcnn.model import MaskRCNN


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, help="folder that holds stage1_train")
    parser.add_argument("--checkpoint", required=True, help="weights of train_nuclei.py")
    parser.add_argument("--out", default="int8", help="folder of the files")
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()

    training, validation = (train_nuclei.load(args.dataset, name) for name in ("train", "val"))
    config = train_nuclei.TrainNucleiConfig()
    config.IMAGES_PER_GPU = 1
    model = MaskRCNN("inference", config, args.out)
    model.load_weights(args.checkpoint)
    folder = Path(args.out)
    paths = {"float32": folder / "float32.xml", "int8": folder / "int8.xml"}
    scores = export_int8(model, paths["int8"], training, dataset=validation, verify=False)
    export(model, paths["float32"], "openvino", verify=False)
    for name, found in scores.items():
        print(name)
        print(format_table(found))
    image = validation.load_image(0)[None]
    files = {name: open_file(path) for name, path in paths.items()}
    ways = {name: lambda run=run: run(np.ascontiguousarray(image)) for name, run in files.items()}
    seconds = machine.in_turn(ways, args.repeats)
    ratio = seconds["float32"] / seconds["int8"]
    print(f"{list(image.shape[1:3])} in turn: {seconds}, int8 {ratio:.2f} times as fast")
    print(machine.describe())


if __name__ == "__main__":
    main()
