// The preview: frames of a camera or a video go out over a WebSocket, and come back as people to draw over them.

import { drawPeople } from "./draw.js";
import { Results, save } from "./results.js";

const LONGEST = 960; // pixels of the longer side that is sent: more costs time and finds little more
const SHOWN = 1920; // of a single picture on the page
const IN_FLIGHT = 2; // one frame in work on the server, one on its way
const SAVES = ["save-png", "save-json", "save-csv"];
const WINDOW = 2000; // milliseconds over which frames per second are counted

const at = (id) => document.getElementById(id);
const [canvas, video, stage] = [at("canvas"), at("video"), at("stage")];
const context = canvas.getContext("2d");
let skeleton = { names: [], limbs: [] };
let limits = { bytes: Infinity };
let chosen = ""; // model, as the server calls it; "" for its first
let greeted = ""; // the model that the controls are set for
let token = "";
let running = null; // what stop() ends
let shown = null; // what is drawn: a picture, its people and their scale
const results = new Results(); // of the source that is shown
let opened = null; // what to do again with another model
let again = null; // what to do once the token is there

const CAMERA_ERRORS = {
  NotAllowedError: "The camera is not allowed here. Allow it in the browser's address bar, then press Camera again.",
  NotFoundError: "No camera was found. Connect one, or open a picture or a video.",
  NotReadableError: "The camera is in use by another program. Close that program, then press Camera again.",
  OverconstrainedError: "That camera is gone. Choose another one.",
};

function say(text) {
  at("status").textContent = text;
}

function complain(text) {
  at("error").textContent = text;
  at("error").hidden = !text;
}

function figures({ fps, latency, people, dropped } = {}) {
  const text = (value, digits) => (value === undefined ? "–" : value.toFixed(digits));
  at("fps").textContent = text(fps, 1);
  at("latency").textContent = text(latency, 0);
  at("people").textContent = text(people, 0);
  at("dropped").textContent = text(dropped, 0);
}

function draw() {
  if (!shown) return;
  const { picture, result } = shown;
  const mirror = at("mirror").checked;
  canvas.hidden = false;
  at("empty").hidden = true;
  canvas.width = picture.width;
  canvas.height = picture.height;
  if (mirror) context.setTransform(-1, 0, 0, 1, canvas.width, 0);
  context.drawImage(picture, 0, 0);
  context.resetTransform();
  const options = {
    threshold: Number(at("threshold").value),
    boxes: at("boxes").checked,
    scale: picture.width / result.width,
    mirror,
    unit: canvas.width / (canvas.clientWidth || canvas.width),
  };
  const people = sure(result);
  drawPeople(context, people, skeleton, options);
  const count = people.length;
  at("people").textContent = count;
  for (const id of SAVES) at(id).disabled = false;
  canvas.setAttribute("aria-label", `${count} ${count === 1 ? "person" : "people"} with skeletons drawn over them`);
}

function sure({ people }) {
  const least = Number(at("least").value);
  return people.filter(({ score }) => score >= least);
}

function slide(id, value) {
  at(id).value = value;
  at(`${id}-value`).textContent = Number(at(id).value).toFixed(2);
}

// --- the server -----------------------------------------------------------------------------------------------------

function credentials() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function protocols() {
  if (!token) return ["edgepose"];
  return ["edgepose", `bearer.${btoa(token).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`];
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...credentials(), ...options.headers } });
  } catch {
    throw new Error("The server cannot be reached. Is it still running?");
  }
  if (response.ok) return response.json();
  const { detail } = await response.json().catch(() => ({}));
  if (response.status === 401) throw Object.assign(new Error("The token is missing or wrong."), { token: true });
  throw new Error(`The server refused: ${detail ?? `status ${response.status}`}.`);
}

function query() {
  return chosen ? `?model=${encodeURIComponent(chosen)}` : "";
}

async function greet() {
  const model = await ask(`model${query()}`);
  skeleton = model.skeleton;
  limits = model.limits;
  at("model").textContent = `${model.model} · ${skeleton.names.length} keypoints`;
  if (model.model === greeted) return; // what somebody has set stays
  greeted = model.model;
  at("least").min = Math.min(model.least.person, 0.9); // others are not in the answers
  slide("least", model.least.person);
  slide("threshold", model.least.keypoint);
  at("choice").replaceChildren(...model.models.map((name) => new Option(name, name)));
  at("choice").value = model.model;
  at("choice-row").hidden = model.models.length < 2;
}

// Runs a task; what goes wrong is shown in words, and a missing token is asked for, after which the task runs again.
async function attempt(task) {
  complain("");
  try {
    await task();
  } catch (error) {
    if (error.name === "AbortError") return; // stopped while it was starting
    stop();
    complain(CAMERA_ERRORS[error.name] ?? error.message);
    if (error.token) {
      again = task;
      at("token-form").hidden = false;
      at("token").focus();
    }
  }
}

// --- a camera or a video --------------------------------------------------------------------------------------------

class Stream {
  constructor() {
    this.pending = new Map(); // number of a frame -> its canvas and when it was taken
    this.spare = [];
    this.sent = this.skipped = 0;
    this.encoding = this.ended = false;
    this.answers = []; // times of the last answers
  }

  async start() {
    figures();
    const address = new URL(`frames${query()}`, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(address, protocols());
    this.socket.onmessage = ({ data }) => this.answered(JSON.parse(data));
    await new Promise((resolve, reject) => {
      this.socket.onopen = resolve;
      this.socket.onclose = () => {
        if (!this.ended) reject(new Error("The server takes no more viewers now. Try again in a moment."));
      };
    });
    this.socket.onclose = ({ reason }) => {
      if (this.ended) return;
      stop();
      complain(`The server ended the connection: ${reason || "it has stopped, or the network has"}.`);
    };
    this.next();
  }

  next() {
    if (this.ended) return;
    const step = () => {
      this.frame();
      this.next();
    };
    if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(step);
    else requestAnimationFrame(step);
  }

  frame() {
    if (this.ended || this.socket.readyState !== WebSocket.OPEN || !video.videoWidth) return;
    if (this.encoding || this.pending.size >= IN_FLIGHT) {
      this.skipped += 1;
      return;
    }
    const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
    const copy = this.spare.pop() ?? document.createElement("canvas");
    copy.width = Math.round(video.videoWidth * scale);
    copy.height = Math.round(video.videoHeight * scale);
    copy.getContext("2d").drawImage(video, 0, 0, copy.width, copy.height);
    const taken = performance.now();
    this.encoding = true;
    copy.toBlob((blob) => {
      this.encoding = false;
      if (this.ended || !blob || this.socket.readyState !== WebSocket.OPEN) return;
      this.pending.set(this.sent, { copy, taken });
      this.sent += 1;
      this.socket.send(blob);
    }, "image/jpeg", 0.85);
  }

  answered(result) {
    const entry = this.pending.get(result.frame);
    for (const number of [...this.pending.keys()].filter((key) => key <= result.frame)) {
      if (number !== result.frame) this.spare.push(this.pending.get(number).copy); // one the server dropped
      this.pending.delete(number);
    }
    if (this.ended || !entry) return;
    if (shown?.stream === this) this.spare.push(shown.picture);
    shown = { picture: entry.copy, result, stream: this };
    results.add(result, skeleton.names);
    draw();
    const now = performance.now();
    this.answers = this.answers.filter((time) => now - time < WINDOW);
    this.answers.push(now);
    const span = now - this.answers[0];
    figures({
      fps: this.answers.length > 1 ? (1000 * (this.answers.length - 1)) / span : undefined,
      latency: now - entry.taken,
      people: sure(result).length,
      dropped: this.skipped + result.dropped,
    });
  }

  end() {
    this.ended = true;
    this.socket?.close();
  }
}

async function startCamera() {
  stop();
  opened = startCamera;
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("Browsers give the camera to pages from localhost or over HTTPS only. Open a picture or a video.");
  }
  say("Starting the camera …");
  await greet();
  const chosen = at("device").value;
  const size = { width: { ideal: 1280 }, height: { ideal: 720 } };
  const media = await navigator.mediaDevices.getUserMedia({
    video: chosen ? { ...size, deviceId: { exact: chosen } } : { ...size, facingMode: "user" },
    audio: false,
  });
  if (running) return media.getTracks().forEach((track) => track.stop()); // something else was started meanwhile
  running = { media };
  media.getVideoTracks()[0].addEventListener("ended", () => {
    stop();
    complain("The camera was disconnected.");
  });
  at("mirror").checked = media.getVideoTracks()[0].getSettings().facingMode !== "environment";
  video.srcObject = media;
  await listCameras();
  await play(media.getVideoTracks()[0].label || "Camera");
}

async function listCameras() {
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
  const chosen = at("device").value;
  at("device").replaceChildren(
    ...cameras.map(({ deviceId, label }, i) => new Option(label || `Camera ${i + 1}`, deviceId)),
  );
  if (cameras.some(({ deviceId }) => deviceId === chosen)) at("device").value = chosen;
  at("device-row").hidden = cameras.length < 2;
}

async function openVideo(file) {
  stop();
  opened = () => openVideo(file);
  await greet();
  at("mirror").checked = false;
  const address = URL.createObjectURL(file);
  running = { address };
  video.src = address;
  video.onended = () => {
    stop();
    say(`${file.name} has ended.`);
  };
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(new Error(`This browser cannot play ${file.name}. Try an MP4 (H.264) or WebM file.`));
  });
  await play(file.name);
}

async function play(name) {
  const current = running;
  if (!current) return;
  current.stream = new Stream();
  results.begin(name);
  at("stop").disabled = false;
  await video.play();
  if (running !== current) return;
  await current.stream.start();
  if (running === current) say(`${name}, ${video.videoWidth} × ${video.videoHeight}.`);
}

function stop() {
  if (!running) return;
  const { stream, media, address } = running;
  running = null;
  stream?.end();
  media?.getTracks().forEach((track) => track.stop());
  video.onended = video.onerror = video.onloadeddata = null;
  video.pause();
  video.srcObject = null;
  video.removeAttribute("src");
  if (address) URL.revokeObjectURL(address);
  at("stop").disabled = true;
  say("Stopped.");
}

// --- a picture ------------------------------------------------------------------------------------------------------

async function openPicture(file) {
  stop();
  opened = () => openPicture(file);
  await greet();
  if (file.size > limits.bytes) {
    throw new Error(`${file.name} is too large: this server takes pictures of at most ${limits.bytes} bytes.`);
  }
  at("mirror").checked = false;
  say(`Looking at ${file.name} …`);
  const form = new FormData();
  form.append("image", file);
  const picture = await decoded(file);
  const began = performance.now();
  const result = await ask(`predict${query()}`, { method: "POST", body: form });
  shown = { picture, result };
  draw();
  results.begin(file.name);
  results.add(result, skeleton.names);
  figures({ latency: performance.now() - began, people: sure(result).length });
  say(`${file.name}, ${result.width} × ${result.height}.`);
}

async function decoded(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`This browser cannot show ${file.name}. Try a JPEG or PNG file.`);
  }
  const scale = Math.min(1, SHOWN / Math.max(bitmap.width, bitmap.height));
  const copy = document.createElement("canvas");
  copy.width = Math.round(bitmap.width * scale);
  copy.height = Math.round(bitmap.height * scale);
  copy.getContext("2d").drawImage(bitmap, 0, 0, copy.width, copy.height);
  bitmap.close();
  return copy;
}

function openFile(file) {
  if (!file) return;
  if (file.type.startsWith("video/")) attempt(() => openVideo(file));
  else if (file.type.startsWith("image/")) attempt(() => openPicture(file));
  else complain(`${file.name} is neither a picture nor a video.`);
}

// --- the page -------------------------------------------------------------------------------------------------------

at("camera").addEventListener("click", () => attempt(startCamera));
at("device").addEventListener("change", () => attempt(startCamera));
at("open").addEventListener("click", () => at("file").click());
at("stop").addEventListener("click", stop);
at("file").addEventListener("change", () => {
  openFile(at("file").files[0]);
  at("file").value = ""; // the same file may be chosen again
});
for (const id of ["threshold", "least"]) at(id).addEventListener("input", () => slide(id, at(id).value));
for (const id of ["threshold", "least", "mirror", "boxes"]) at(id).addEventListener("input", draw);
at("choice").addEventListener("change", () => {
  chosen = at("choice").value;
  attempt(opened ?? greet);
});
at("save-png").addEventListener("click", () => {
  canvas.toBlob((blob) => save(`${results.stem}-overlay.png`, blob), "image/png");
});
at("save-json").addEventListener("click", () => {
  save(`${results.stem}-results.jsonl`, new Blob([results.json(Number(at("least").value))], { type: "application/json" }));
});
at("save-csv").addEventListener("click", () => {
  save(`${results.stem}-results.csv`, new Blob([results.csv(Number(at("least").value))], { type: "text/csv" }));
});
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = at("token").value.trim().replaceAll(/[^\x21-\x7e]/g, "?"); // others fit into no header, and into no token
  at("token").value = "";
  at("token-form").hidden = true;
  attempt(again ?? greet);
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  stage.addEventListener(name, (event) => {
    event.preventDefault();
    stage.classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop") openFile(event.dataTransfer.files[0]);
  });
}
attempt(greet);
