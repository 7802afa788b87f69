"""DynamicSoftLabel assignment against the published implementation, and cases small enough to see."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from edgepose.codec.boxes import priors  # noqa: E402
from edgepose.train.assignment import assign  # noqa: E402
from tests.goldens import algorithm_cases  # noqa: E402

pytestmark = pytest.mark.torch

CELLS = torch.from_numpy(priors((128, 128)))  # (336, 3)


def scene(seed, counts, classes=1):
    """Random logits, predictions near the truth, and boxes for pictures with `counts` people."""
    rng = np.random.default_rng(seed)
    truth, labels, predictions = [], [], []
    for count in counts:
        low = rng.uniform(0, 90, (count, 2))
        truth.append(torch.tensor(np.concatenate([low, low + rng.uniform(8, 60, (count, 2))], 1), dtype=torch.float32))
        labels.append(torch.from_numpy(rng.integers(0, classes, count)))
        near = truth[-1][rng.integers(0, count, len(CELLS))] if count else torch.zeros(len(CELLS), 4)
        predictions.append(near + torch.tensor(rng.normal(0, 6, (len(CELLS), 4)), dtype=torch.float32))
    logits = torch.tensor(rng.normal(-2, 1, (len(counts), len(CELLS), classes)), dtype=torch.float32)
    return logits, torch.stack(predictions), truth, labels


@pytest.mark.parametrize("index", range(4))
def test_published(index):
    case = [c for c in algorithm_cases("algo/rtmdet_assigner") if c.params["kind"] == "assign"][index]
    given = {name: torch.from_numpy(value) for name, value in case.inputs.items()}
    found = assign(
        given["logits"][None],
        given["pred_boxes"][None],
        given["priors"][:, :3],
        [given["gt_boxes"]],
        [given["gt_labels"]],
    )
    box = np.zeros(len(given["priors"]), np.int64)
    box[found.cell] = found.box + 1
    np.testing.assert_array_equal(box, case.outputs["gt_index"])
    np.testing.assert_allclose(found.iou, case.outputs["overlap"][found.cell], rtol=1e-6)
    assert len(found.cell) == case.params["positives"]


@pytest.mark.parametrize("classes", [1, 3])
def test_a_batch_is_its_pictures(classes):
    counts = [3, 0, 7, 1, 12]
    logits, predictions, truth, labels = scene(0, counts, classes)
    together = assign(logits, predictions, CELLS, truth, labels)
    before = 0
    for picture, count in enumerate(counts):
        one = slice(picture, picture + 1)
        alone = assign(logits[one], predictions[one], CELLS, truth[one], labels[one])
        mine = together.picture == picture
        assert torch.equal(together.cell[mine], alone.cell)
        assert torch.equal(together.box[mine], alone.box + before)
        torch.testing.assert_close(together.iou[mine], alone.iou)
        before += count


def test_every_cell_has_at_most_one_box():
    logits, predictions, truth, labels = scene(1, [20, 20])
    found = assign(logits, predictions, CELLS, truth, labels)
    places = found.picture * len(CELLS) + found.cell
    assert len(places.unique()) == len(places)
    assert ((found.box < 20) == (found.picture == 0)).all()  # and never one of another picture


def test_exact_predictions_are_found():
    box = torch.tensor([[40.0, 40.0, 72.0, 88.0]])
    predictions = torch.zeros(1, len(CELLS), 4)
    right = CELLS.eq(torch.tensor([56.0, 64.0, 8.0])).all(dim=1).nonzero()[0, 0]
    predictions[0, right] = box[0]
    found = assign(torch.zeros(1, len(CELLS), 1), predictions, CELLS, [box], [torch.zeros(1, dtype=torch.long)])
    assert found.cell.tolist() == [right] and found.iou.tolist() == [1.0]


@pytest.mark.parametrize("boxes", [[], [[9.0, 9.0, 15.0, 15.0]], [[8.0, 8.0, 8.0, 8.0]]])
def test_nothing_to_assign(boxes):
    """No boxes at all, one between the cells, one without area."""
    truth = torch.tensor(boxes).reshape(-1, 4)
    label = torch.zeros(len(truth), dtype=torch.long)
    found = assign(torch.zeros(1, len(CELLS), 1), torch.zeros(1, len(CELLS), 4), CELLS, [truth], [label])
    assert [len(part) for part in found] == [0, 0, 0, 0]
