// What the server answered, kept to be saved: as the lines and the table that `edgepose predict` writes.

const MOST = 50000; // frames that are kept: half an hour at 30 a second

export class Results {
  constructor() {
    this.begin("");
  }

  // A new source: what was kept of the last one goes.
  begin(source) {
    this.source = source;
    this.frames = [];
    this.names = [];
    this.left = 0; // frames too many
  }

  add(result, names) {
    this.names = names;
    if (this.frames.length === MOST) {
      this.frames.shift();
      this.left += 1;
    }
    this.frames.push(result);
  }

  get stem() {
    return this.source.replace(/\.[^.]*$/, "").replaceAll(/[^\p{L}\p{N}._-]+/gu, "-") || "edgepose";
  }

  // One JSON object per frame, with the people scored `least` or higher.
  json(least) {
    return this.frames
      .map(({ frame, time, width, height, people }) => {
        const kept = people.filter(({ score }) => score >= least);
        return `${JSON.stringify({ source: this.source, frame, time, width, height, people: kept })}\n`;
      })
      .join("");
  }

  // One row per person and frame under a header of names.
  csv(least) {
    const points = this.names.flatMap((name) => ["x", "y", "score"].map((part) => `${name}_${part}`));
    const start = ["source", "frame", "time", "width", "height", "person", "id", "score", "x1", "y1", "x2", "y2"];
    const rows = [[...start, ...points, "guessed"]];
    for (const { frame, time, width, height, people } of this.frames) {
      people.filter(({ score }) => score >= least).forEach(({ id, score, box, keypoints, guessed }, i) => {
        rows.push([
          this.source, frame, time, width, height, i, id, score, ...box, ...keypoints.flat(), Number(guessed ?? false),
        ]);
      });
    }
    return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
  }
}

function cell(value) {
  const text = String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// Hands a file to the browser, which saves it.
export function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
