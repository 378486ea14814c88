"""Reads the COCO copies of a data set that `kintsugi dataset build` made with FiftyOne's importer (fiftyone 1.22.1; its
database is not needed). Run: python test/golden/load_fiftyone.py FOLDER
"""

import json
import sys
from pathlib import Path

import fiftyone
import fiftyone.utils.coco as coco

folder = Path(sys.argv[1])
for path in sorted((folder / "annotations").glob("*.json")):
    images = folder / "clean" if path.stem == "clean" else folder / "images" / path.stem
    importer = coco.COCODetectionDatasetImporter(
        data_path=str(images), labels_path=str(path), label_types=["detections", "segmentations"], include_license=True
    )
    importer.setup()
    objects = masks = 0
    licences = set()
    for image, metadata, label in importer:
        assert Path(image).is_file()
        objects += len(label["detections"].detections) if label.get("detections") else 0
        masks += sum(o.mask is not None for o in label["segmentations"].detections) if label.get("segmentations") else 0
        licences.add(label.get("license"))
    said = json.loads(path.read_text())
    assert len(importer) == len(said["images"]) and objects == len(said["annotations"])
    assert masks == sum("segmentation" in o for o in said["annotations"])
    print(f"fiftyone {fiftyone.__version__} {path.stem}: {len(importer)} images, {objects} objects, {masks} masks, {len(licences)} licences")
