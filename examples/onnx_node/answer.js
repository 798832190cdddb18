// What a model of `tubelet export --format onnx --with-preprocessing` says of raw frames.
//
//     node answer.js MODEL.onnx FRAMES.rgb [DESCRIPTION.json]
//
// FRAMES.rgb: the bytes of whole clips, uint8, frame after frame, row after row, red green blue, of the frames and
// size of the model. DESCRIPTION.json: what the model says of itself, for the names of its classes. frames.py writes
// both.
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-node";

const [modelFile, framesFile, descriptionFile] = process.argv.slice(2);
if (!framesFile) {
  console.error("usage: node answer.js MODEL.onnx FRAMES.rgb [DESCRIPTION.json]");
  process.exit(2);
}

/** The model takes channels before rows: (frames, height, width, 3) to (frames, 3, height, width). */
function planar(bytes, frames, height, width) {
  const out = new Uint8Array(bytes.length);
  const plane = height * width;
  for (let f = 0; f < frames; f++)
    for (let i = 0; i < plane; i++)
      for (let c = 0; c < 3; c++) out[(f * 3 + c) * plane + i] = bytes[(f * plane + i) * 3 + c];
  return out;
}

function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

const session = await ort.InferenceSession.create(modelFile);
const [, frames, channels, height, width] = session.inputMetadata[0].shape;
const bytes = readFileSync(framesFile);
const size = frames * channels * height * width;
if (bytes.length === 0 || bytes.length % size !== 0) {
  console.error(`${framesFile} has ${bytes.length} bytes: clips of ${frames} frames of ${width}x${height} have ${size}.`);
  process.exit(2);
}
const count = bytes.length / size;
const video = new ort.Tensor("uint8", planar(bytes, count * frames, height, width), [
  count, frames, channels, height, width,
]);
const { logits } = await session.run({ video });
const classes = logits.dims[1];
const heads = descriptionFile ? JSON.parse(readFileSync(descriptionFile, "utf8")).labels : null;
for (let clip = 0; clip < count; clip++) {
  const values = Array.from(logits.data.slice(clip * classes, (clip + 1) * classes));
  if (!heads) {
    console.log(JSON.stringify(values));
    continue;
  }
  let begin = 0;
  const answers = {};
  for (const head of heads) {
    const own = values.slice(begin, (begin += head.classes.length));
    if (head.kind === "number") {
      answers[head.name] = Object.fromEntries(head.classes.map((name, i) => [name, own[i]]));
      continue;
    }
    const shares = head.kind === "multi" ? own.map((v) => 1 / (1 + Math.exp(-v))) : softmax(own);
    const best = shares.indexOf(Math.max(...shares));
    answers[head.name] = `${head.classes[best]} ${(100 * shares[best]).toFixed(1)}%`;
  }
  console.log(JSON.stringify(answers));
}
