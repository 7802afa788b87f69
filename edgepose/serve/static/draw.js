// People over a picture, in the colors of edgepose's own overlays: left warm, right cool, dark rims.

const FACE = 0.5; // of the thickness, inside a face
const RIM = "rgb(24 28 32)";
const TRUNK = "rgb(110 226 196)";
const HEAD = "rgb(236 232 224)";
const SIDES = {
  left: { arm: "rgb(255 176 56)", leg: "rgb(255 110 60)" },
  right: { arm: "rgb(72 196 255)", leg: "rgb(84 132 244)" },
};
const PEOPLE = ["#2ecc71", "#3498db", "#f05a3c", "#dc59b6", "#f1c40f", "#1abcad", "#fa8080", "#8cb4d2", "#a0c850", "#ff78c8"];

function part(name) {
  if (/hip|knee|ankle|toe|heel|back_paw/.test(name)) return "leg";
  if (/shoulder|elbow|wrist|front_paw|hand/.test(name)) return "arm";
  return "head";
}

function side(name) {
  return name.startsWith("left_") ? "left" : name.startsWith("right_") ? "right" : "";
}

function pointColor(name) {
  const which = SIDES[side(name)];
  return part(name) === "head" || !which ? HEAD : which[part(name)];
}

function limbColor(a, b) {
  if (part(a) === "head" || part(b) === "head") return HEAD;
  if (side(a) !== side(b) || !side(a)) return TRUNK;
  if (part(a) !== part(b)) return TRUNK;
  return SIDES[side(a)][part(a)];
}

function thickness(box, width, height, unit) {
  const size = Math.max(box[2] - box[0], box[3] - box[1]);
  const limit = Math.max(width, height) / 130;
  return Math.max(Math.min(size / 70, limit), 1.8 * unit);
}

// People as /predict gives them, with coordinates to be multiplied by `scale`, and from the right where `mirror` is
// true. `unit` is how many pixels of the canvas are one of the screen: lines and names stay readable on a phone.
export function drawPeople(context, found, skeleton, { threshold, boxes, scale, mirror, unit }) {
  const { width, height } = context.canvas;
  const across = (x) => (mirror ? width - x * scale : x * scale);
  const people = found.map(({ id, box: [x1, y1, x2, y2], keypoints }) => {
    const sides = [across(x1), across(x2)];
    const box = [Math.min(...sides), y1 * scale, Math.max(...sides), y2 * scale];
    return { id, box, points: keypoints.map(([x, y, score]) => [across(x), y * scale, score > threshold]) };
  });
  context.save();
  context.lineCap = "round";
  context.lineJoin = "round";
  const area = (person) => (person.box[2] - person.box[0]) * (person.box[3] - person.box[1]);
  const largestFirst = people.map((person, i) => [person, i]).sort((a, b) => area(b[0]) - area(a[0]));
  for (const [{ id, box, points }, i] of largestFirst) {
    const line = thickness(box, width, height, unit);
    const color = PEOPLE[(id ?? i) % PEOPLE.length];
    if (boxes || points.length === 0) drawBox(context, box, color, line);
    drawSkeleton(context, points, skeleton, line);
  }
  for (const { id, box } of people) {
    if (id !== null) drawLabel(context, `#${id}`, box, PEOPLE[id % PEOPLE.length], unit);
  }
  context.restore();
}

// Points of a face that are too close to another for both to be seen are left out, eyes before the rest.
function thinFaces(points, names, inFace, line) {
  const apart = 2.5 * (line * 0.95 + Math.max(line * 0.25, 0.7)) * FACE + 2;
  const order = names.map((name, i) => i).filter((i) => inFace(names[i]) && points[i]?.[2]);
  order.sort((a, b) => /eye/.test(names[a]) - /eye/.test(names[b]) || a - b);
  const kept = [];
  for (const i of order) {
    const near = kept.some((j) => Math.hypot(points[i][0] - points[j][0], points[i][1] - points[j][1]) < apart);
    if (near) points[i][2] = false;
    else kept.push(i);
  }
}

function drawSkeleton(context, points, skeleton, line) {
  const body = skeleton.names.includes("left_shoulder") && skeleton.names.includes("left_hip");
  const inFace = (name) => body && /nose|eye|ear|head|face/.test(name); // what is no body has no face
  thinFaces(points, skeleton.names, inFace, line);
  const limbs = skeleton.limbs.filter(([a, b]) => points[a]?.[2] && points[b]?.[2]);
  const seen = points.map((point, i) => [point, skeleton.names[i]]).filter(([point]) => point[2]);
  const strokes = (width, colorOf) => {
    for (const [a, b] of limbs) {
      context.lineWidth = width * (inFace(skeleton.names[a]) && inFace(skeleton.names[b]) ? FACE : 1);
      context.strokeStyle = colorOf(skeleton.names[a], skeleton.names[b]);
      context.beginPath();
      context.moveTo(points[a][0], points[a][1]);
      context.lineTo(points[b][0], points[b][1]);
      context.stroke();
    }
  };
  const dots = (radius, colorOf) => {
    for (const [[x, y], name] of seen) {
      context.fillStyle = colorOf(name);
      context.beginPath();
      context.arc(x, y, radius * (inFace(name) ? FACE : 1), 0, 2 * Math.PI);
      context.fill();
    }
  };
  const rim = Math.max(line * 0.5, 1.4); // all rims first, so that none cuts through a neighbor's color
  strokes(line + rim, () => RIM);
  dots(line * 0.95 + rim / 2, () => RIM);
  strokes(line, limbColor);
  dots(line * 0.95, pointColor);
}

function drawBox(context, [x1, y1, x2, y2], color, line) {
  context.lineWidth = line + 1.5;
  context.strokeStyle = RIM;
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  context.lineWidth = line;
  context.strokeStyle = color;
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
}

function drawLabel(context, text, [x1, y1], color, unit) {
  const size = Math.max(12 * unit, context.canvas.width / 60);
  context.font = `600 ${size}px system-ui, "DejaVu Sans", sans-serif`;
  const width = context.measureText(text).width + size * 0.7;
  const height = size * 1.35;
  const x = Math.min(Math.max(x1, 0), context.canvas.width - width);
  const y = Math.min(Math.max(y1 - height, 0), context.canvas.height - height);
  context.fillStyle = color;
  context.beginPath();
  context.roundRect(x, y, width, height, size * 0.3);
  context.fill();
  context.fillStyle = "#101315";
  context.textBaseline = "middle";
  context.fillText(text, x + size * 0.35, y + height / 2 + 1);
}
