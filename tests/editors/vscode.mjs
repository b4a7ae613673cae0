// The packed extension in VS Code: what is on the page.
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { spawn, spawnSync } from "node:child_process";
import { browser, editors, seen, shots, until, workspace } from "./support.mjs";

console.log("VS Code");
const folder = workspace("vscode");
const home = path.join(folder, "..", path.basename(folder) + "-home");
const program = path.join(editors, "code-server");
const dirs = ["--user-data-dir", path.join(home, "data"), "--extensions-dir", path.join(home, "extensions")];
fs.mkdirSync(path.join(home, "data/User/History"), { recursive: true });
fs.mkdirSync(path.join(home, "extensions"), { recursive: true });
const installed = spawnSync(program, [...dirs, "--install-extension", process.env.MODELCOST_VSIX], { encoding: "utf8" });
assert.equal(installed.status, 0, installed.stdout + installed.stderr);
seen("the packed extension is installed");

fs.writeFileSync(
  path.join(home, "data/User/settings.json"),
  JSON.stringify({
    "workbench.startupEditor": "none",
    "workbench.colorTheme": "Default Dark Modern",
    "workbench.tips.enabled": false,
    "editor.minimap.enabled": false,
    "editor.fontSize": 13,
    "editor.inlayHints.fontSize": 12,
    "editor.inlayHints.padding": true,
    "breadcrumbs.enabled": false,
    "security.workspace.trust.enabled": false,
    "telemetry.telemetryLevel": "off",
    "git.enabled": false,
    "extensions.ignoreRecommendations": true,
    "chat.commandCenter.enabled": false,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
  }),
);

const port = await new Promise((resolve) => {
  const probe = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});
const env = { ...process.env, HOME: home };
delete env.VSCODE_IPC_HOOK_CLI;
const code = spawn(
  program,
  ["--auth", "none", "--bind-addr", `127.0.0.1:${port}`, "--disable-workspace-trust", "--disable-telemetry",
   "--disable-update-check", "--disable-getting-started-override", ...dirs, folder],
  { env, stdio: "ignore", detached: true },
);
const address = `http://127.0.0.1:${port}/?folder=${folder}`;
await until("the workbench's server", async () => (await fetch(address)).ok);

const pages = await browser();
const context = await pages.newContext({ viewport: { width: 1280, height: 800 }, permissions: ["clipboard-read", "clipboard-write"] });
const page = await context.newPage();
const shot = (name) => page.screenshot({ path: path.join(shots, name) });

/** The text of the line that holds a needle, hints included. VS Code writes spaces as no-break spaces. */
const plain = (text) => text.replace(/\u00a0/g, " ").replace(/[\u200b\u200c\u200d]/g, "");
async function line(needle) {
  const lines = await page.locator(".editor-group-container.active .view-lines .view-line").allTextContents();
  return lines.map(plain).find((text) => text.includes(needle)) ?? "";
}
const shows = (needle, hint, patience) =>
  until(`'${hint}' beside '${needle}'`, async () => (await line(needle)).includes(hint), patience);
const statusBar = async () => plain((await page.locator(".statusbar").allTextContents()).join(" "));

/** Opens a file. The list of recent files may still stand below a name just typed, so the row itself is clicked. */
async function open(name) {
  await until(
    `${name} in the active tab`,
    async () => {
      await page.keyboard.press("Control+P");
      await page.locator(".quick-input-widget input").fill(name);
      const row = page.locator(".quick-input-list .monaco-list-row").filter({ hasText: name }).first();
      await row.click({ timeout: 10_000 });
      const tab = page.locator(".editor-group-container.active .tab.active").filter({ hasText: name });
      await tab.waitFor({ timeout: 10_000 });
      return true;
    },
    120_000,
  );
}

async function command(title) {
  await page.keyboard.press("F1");
  await page.locator(".quick-input-widget input").fill(`>${title}`);
  await page.locator(".quick-input-list .monaco-list-row").filter({ hasText: title }).first().click();
}

/** Puts the cursor at a line and column, both from one. */
async function goto(row, column) {
  await page.keyboard.press("Control+G");
  await page.locator(".quick-input-widget input").fill(`:${row}:${column}`);
  await page.keyboard.press("Enter");
}

try {
  await page.goto(address);
  await page.locator(".monaco-workbench").waitFor({ timeout: 120_000 });
  await page.locator(".explorer-folders-view").first().waitFor({ timeout: 120_000 });
  seen("the workbench");
  await open("resnet50.toml");
  await shows("conv1   =", "→ 64×112×112 · 9.4 k params · 118 MMac", 120_000);
  await shows("fc      =", "→ 1000 · 2.0 M params · 2.0 MMac");
  seen("hints beside the layers of a spec");
  await until("the total in the status bar", async () => (await statusBar()).includes("torchinfo@1.8.0: 4.1 GMac"));
  await until("the lens", async () => (await page.locator(".codelens-decoration").allTextContents()).map(plain).join().includes("compare"));
  seen("the total in the status bar and in a lens");
  await page.keyboard.press("Control+B");
  await page.waitForTimeout(500);
  await shot("vscode.png");

  // An edit: every number below changes.
  await goto(7, 26);
  await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.type("5");
  await shows("conv1   =", "→ 64×113×113 · 4.8 k params · 61.3 MMac");
  seen("other numbers after an edit");
  await page.keyboard.press("Control+Z");
  await shows("conv1   =", "118 MMac");

  // Another convention, from the picker.
  await command("modelcost: Choose Convention");
  await page.locator(".quick-input-list .monaco-list-row").filter({ hasText: "ptflops@0.6.9" }).first().waitFor();
  await shot("vscode-picker.png");
  await page.locator(".quick-input-widget input").fill("ptflops@0.6.9");
  await page.locator(".quick-input-list .monaco-list-row").filter({ hasText: "ptflops@0.6.9" }).first().click();
  await shows("relu    =", "803 kMac");
  await until("the convention in the status bar", async () => (await statusBar()).includes("ptflops@0.6.9"));
  seen("other numbers under another convention");
  await command("modelcost: Choose Convention");
  await page.locator(".quick-input-widget input").fill("As settings");
  await page.locator(".quick-input-list .monaco-list-row").filter({ hasText: "As settings" }).first().click();
  await until("the old convention", async () => (await statusBar()).includes("torchinfo@1.8.0"));

  // A mistake, its diagnostic, and its mend.
  await goto(20, 19);
  for (let i = 0; i < 4; i++) await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.type("1024");
  await until("the squiggle", async () => (await page.locator(".squiggly-error").count()) > 0);
  await shows("layer1  =", "668 MMac");
  seen("a diagnostic");
  await page.keyboard.press("Control+.");
  await page.locator(".action-widget").filter({ hasText: "Set in_features to 2048" }).waitFor();
  await page.waitForTimeout(300);
  await shot("vscode-fix.png");
  await page.keyboard.press("Enter");
  await shows("fc      =", "Linear(2048, 1000)");
  await until("no squiggle", async () => (await page.locator(".squiggly-error").count()) === 0);
  seen("its mend applied");

  // A hover with the rule.
  await goto(7, 2);
  await command("Show or Focus Hover");
  await page.locator(".monaco-hover").filter({ hasText: "9408 * 12544" }).first().waitFor();
  await page.waitForTimeout(300);
  await shot("vscode-hover.png");
  seen("the rule in a hover");
  await page.keyboard.press("Escape");

  // An ONNX file, as text that cannot be changed.
  await open("alexnet.onnx");
  await shows("= Conv", "→ 64×55×55 · 23.3 k params · 70.5 MMac");
  await shows("main_graph", "61.1 M params · 715 MMac");
  await until("its total in the status bar", async () => (await statusBar()).includes("715 MMac"));
  await shot("vscode-onnx.png");
  seen("hints in an ONNX file");

  // A program, as the tree of its modules.
  await open("alexnet.pt2");
  await shows("Conv2d", "70.5 MMac");
  await shot("vscode-pt2.png");
  seen("hints in the tree of a .pt2 file");

  // Other TOML files have nothing.
  await open("Cargo.toml");
  await until("Cargo.toml", async () => (await line("layers")) !== "");
  await page.waitForTimeout(1000);
  assert.equal((await line('name = "layers"')).trim(), 'name = "layers"');
  assert(!(await statusBar()).includes("torchinfo"), "no status for other files");
  seen("nothing in other files");

  // The comparison.
  await open("resnet50.toml");
  await shows("conv1   =", "118 MMac");
  await command("modelcost: Compare Conventions");
  const preview = await until("the comparison", async () => {
    for (const frame of page.frames()) {
      const text = await frame.locator("body").innerText().catch(() => "");
      if (text.includes("4,133,742,592")) return frame;
    }
    return undefined;
  });
  assert(preview);
  await page.waitForTimeout(500);
  await shot("vscode-compare.png");
  seen("every convention beside the model");
} catch (error) {
  await shot("vscode-failed.png").catch(() => undefined);
  throw error;
} finally {
  await pages.close();
  try {
    process.kill(-code.pid);
  } catch {
    // It ended by itself.
  }
  fs.rmSync(folder, { recursive: true, force: true });
  fs.rmSync(home, { recursive: true, force: true, maxRetries: 5 });
}
