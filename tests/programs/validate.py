# SPDX-License-Identifier: MIT
# validate.py VERSION DIRECTORY: checks all documents in the YAML files of a directory with the
# schemas of a version of Kubernetes. The check is strict: a field that the version does not know is
# a mistake. Needs no network.
import pathlib
import sys

import kubernetes_validate
import yaml

version, directory = sys.argv[1:]
count = 0
wrong = 0
for path in sorted(pathlib.Path(directory).glob("*.yaml")):
    for document in yaml.safe_load_all(path.read_text()):
        if document is None:
            continue
        count += 1
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except Exception as error:  # The message has the place of the mistake.
            wrong += 1
            name = document.get("metadata", {}).get("name")
            print(f"{path.name}: {document.get('kind')} {name}: {error}", file=sys.stderr)
if wrong:
    sys.exit(f"{wrong} of {count} documents are wrong")
print(f"{count} documents are valid")
