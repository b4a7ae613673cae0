// What the tests of both editors share.
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const editors = process.env.MODELCOST_EDITORS;
export const server = process.env.MODELCOST_SERVER;
export const shots = process.env.MODELCOST_SHOTS;
assert(editors && server && shots, "run this through tests/editors/run.sh");

/** Packages of the editors' folder. */
export const require = createRequire(path.join(editors, "package.json"));

/** Starts a headless browser. */
export async function browser() {
  const { chromium } = require("playwright-core");
  const found = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  return chromium.launch({
    executablePath: found.find((program) => program && fs.existsSync(program)),
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--force-color-profile=srgb",
      "--font-render-hinting=none",
    ],
  });
}

/** A folder with the models that the tests edit. */
export function workspace(name) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `modelcost-${name}-`));
  const fixtures = path.join(root, "tests/editors/fixtures");
  for (const file of fs.readdirSync(fixtures)) {
    fs.copyFileSync(path.join(fixtures, file), path.join(folder, file));
  }
  fs.copyFileSync(path.join(root, "tests/corpus/small/tv__alexnet.pt2"), path.join(folder, "alexnet.pt2"));
  return folder;
}

/** Asks until the answer is true enough, and gives it. */
export async function until(what, ask, patience = 60_000) {
  const end = Date.now() + patience;
  let last;
  for (;;) {
    try {
      last = await ask();
      if (last) {
        return last;
      }
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) {
      throw new Error(`never saw ${what}; the last was ${last instanceof Error ? last.message : JSON.stringify(last)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const started = Date.now();
let step = started;

/** Says that something was seen. */
export function seen(what) {
  const now = Date.now();
  console.log(`  ${((now - step) / 1000).toFixed(1).padStart(5)} s  ${what}`);
  step = now;
}
