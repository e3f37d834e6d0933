"""Search Civitai, and add the best result to this project.

python search.py "detail tweaker"
"""

import sys
from pathlib import Path

from synapse_sync import AccessDenied, CivitaiClient, NotFound, Workspace


def main(query: str) -> int:
    with CivitaiClient.from_env() as civitai:
        found = list(civitai.models(query, types=["LORA"], limit=5))
        for model in found:
            version = model.versions[0]
            print(f"civitai:{model.id}@{version.id}  {model.name}, for {version.base_model}")
        if not found:
            print("nothing was found", file=sys.stderr)
            return 4
        try:
            newest = civitai.model(found[0].id).versions[0]
        except (NotFound, AccessDenied) as error:
            print(error, file=sys.stderr)
            return error.exit_code
    with Workspace(Path(__file__).parent) as workspace:
        added = workspace.add(f"civitai:{found[0].id}@{newest.id}", groups="found")
        print(added.summary())
        for model in added.models:
            print(f"{model.name} reacts to: {', '.join(model.card.trained_words) or 'no particular words'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
