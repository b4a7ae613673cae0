// The plugin in Neovim: what is on the screen.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { Neovim } from "./nvim-ui.mjs";
import { browser, editors, root, seen, server, shots, until, workspace } from "./support.mjs";

console.log("Neovim");
const folder = workspace("neovim");
const init = path.join(folder, "init.lua");
fs.writeFileSync(
  init,
  `vim.opt.rtp:append(${JSON.stringify(path.join(root, "editors/neovim"))})
   vim.o.termguicolors = true
   vim.o.number = true
   vim.o.laststatus = 2
   vim.o.swapfile = false
   vim.o.wrap = false
   vim.o.statusline = " %f %m%=%{v:lua.require'modelcost'.status()}  %l:%c "
   vim.diagnostic.config({ virtual_text = true })
   vim.api.nvim_set_hl(0, "LspInlayHint", { fg = "#8a93a8", italic = true })
   require("modelcost").setup({ cmd = { ${JSON.stringify(server)}, "lsp" } })`,
);
const env = { ...process.env, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder, XDG_STATE_HOME: folder, XDG_CACHE_HOME: folder };
const nvim = new Neovim(path.join(editors, "nvim"), ["-u", init, "-i", "NONE"], env, 40, 150);
await nvim.attach();

const line = (needle) => nvim.screen().find((text) => text.includes(needle)) ?? "";
const shows = (needle, hint) => until(`'${hint}' beside '${needle}'`, () => line(needle).includes(hint) && line(needle));
const pages = await browser();
const page = await pages.newPage({ viewport: { width: 1310, height: 828 } });
async function shot(name) {
  await page.setContent(nvim.html());
  await page.screenshot({ path: path.join(shots, name) });
}

try {
  await nvim.call("nvim_command", `edit ${path.join(folder, "resnet50.toml")}`);
  await shows("conv1   =", "→ 64×112×112 · 9.4 k params · 118 MMac");
  await shows('fc      =', "→ 1000 · 2.0 M params · 2.0 MMac");
  seen("hints beside the layers of a spec");
  await until("the total in the status line", () => line("resnet50.toml").includes("torchinfo@1.8.0: 4.1 GMac"));
  seen("the total in the status line");
  await shows("out   =", "×16");
  await shot("neovim.png");

  // On the screen, not only in the editor's memory.
  const marks = await nvim.lua(`
    local space = vim.api.nvim_get_namespaces()["nvim.lsp.inlayhint"] or vim.api.nvim_get_namespaces()["vim_lsp_inlayhint"]
    return #vim.api.nvim_buf_get_extmarks(0, space, 0, -1, {})`);
  assert(marks > 15, `${marks} extmarks`);

  // An edit: every number below changes.
  await nvim.lua(`local line = vim.fn.search("^conv1   =")
    local text = vim.fn.getline(line)
    vim.api.nvim_win_set_cursor(0, { line, text:find("7, stride") - 1 })`);
  await nvim.call("nvim_input", "r5");
  await shows("conv1   =", "→ 64×113×113 · 4.8 k params · 61.3 MMac");
  seen("other numbers after an edit");
  await nvim.call("nvim_input", "u");
  await shows("conv1   =", "118 MMac");

  // Another convention.
  await nvim.call("nvim_command", "ModelcostConvention ptflops@0.6.9");
  await shows("relu    =", "803 kMac");
  await until("the convention in the status line", () => line("resnet50.toml").includes("ptflops@0.6.9"));
  seen("other numbers under another convention");
  const names = await nvim.call("nvim_call_function", "getcompletion", ["ModelcostConvention thop", "cmdline"]);
  assert.deepEqual(names.slice(0, 2), ["thop@0.1.1", "thop@0.0.31"], "the newest release first");
  assert.ok(names.every((name) => name.startsWith("thop@")), names);
  await nvim.lua(`require("modelcost").convention("torchinfo")`);
  await shows("conv1   =", "118 MMac");

  // A mistake, its diagnostic, and its mend.
  await nvim.lua(`vim.fn.search("^bn1     =")
    vim.api.nvim_set_current_line('bn1     = "BatchNrom2d(64)"')`);
  await until("the diagnostic on screen", () => line("BatchNrom2d").includes("there is no 'BatchNrom2d'"));
  seen("a diagnostic");
  // The last good numbers stay; Neovim draws them a moment after the diagnostic.
  await shows("fc      =", "2.0 MMac");
  await nvim.lua(`vim.api.nvim_win_set_cursor(0, { vim.fn.search("BatchNrom2d", "nw"), 14 })
    vim.lsp.buf.code_action({ apply = true, filter = function(action) return action.isPreferred end })`);
  await until("the mend", () => line("bn1     =").includes("BatchNorm2d(64)") && !nvim.screen().join("").includes("BatchNrom2d"));
  seen("its mend applied");

  // A hover with the rule.
  await nvim.lua(`vim.api.nvim_win_set_cursor(0, { vim.fn.search("^conv1   =", "nw"), 1 })
    vim.lsp.buf.hover({ border = "rounded", max_height = 24 })`);
  await until("the rule in a hover", () => nvim.screen().join("\n").includes("9408 * 12544"));
  seen("the rule in a hover");
  await shot("neovim-hover.png");
  await nvim.call("nvim_input", "<Esc>:<Esc>");

  // The comparison in a window.
  await nvim.call("nvim_command", "ModelcostCompare");
  await until("the comparison", () => nvim.screen().join("\n").includes("4,133,742,592"));
  seen("every convention in a window");
  await shot("neovim-compare.png");
  await nvim.call("nvim_command", "close");

  // An ONNX file, as text that cannot be changed.
  await nvim.call("nvim_command", `edit ${path.join(folder, "alexnet.onnx")}`);
  await shows("= Relu (conv2d)", "→ 64×55×55");
  await shows("main_graph", "61.1 M params · 715 MMac");
  seen("hints in an ONNX file");
  assert.equal(await nvim.lua(`return vim.bo.modifiable`), false);
  await nvim.call("nvim_command", "ModelcostConvention ptflops@0.6.9");
  await shows("main_graph", "716 MMac · ptflops@0.6.9");
  await nvim.lua(`require("modelcost").convention("torchinfo")`);
  await shows("main_graph", "715 MMac");
  await nvim.lua(`vim.fn.search("main_graph") vim.cmd("normal! zt0")`);
  await until("the graph at the top", () => nvim.screen()[0].includes("main_graph"));
  await shot("neovim-onnx.png");

  // A program as a tree.
  await nvim.call("nvim_command", `edit ${path.join(folder, "alexnet.pt2")}`);
  await shows("0: Conv2d(3, 64, (11, 11)", "→ 64×55×55 · 23.3 k params · 70.5 MMac");
  await shows("features: Sequential", "→ 256×6×6 · 2.5 M params · 656 MMac");
  await shot("neovim-pt2.png");
  seen("hints in the tree of a .pt2 file");

  // Other TOML files have nothing.
  await nvim.call("nvim_command", `edit ${path.join(folder, "Cargo.toml")}`);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(await nvim.lua(`return #vim.lsp.inlay_hint.get({ bufnr = 0 })`), 0);

  // The help file and the health check.
  await nvim.call("nvim_command", `helptags ${path.join(root, "editors/neovim/doc")}`);
  await nvim.call("nvim_command", "help :ModelcostConvention");
  await nvim.call("nvim_command", "close");
  await nvim.call("nvim_command", "checkhealth modelcost");
  await until("the health check", () => nvim.screen().join("\n").includes("positions in utf-"));
  seen("help and health check");
} catch (error) {
  console.error(nvim.screen().join("\n"));
  await shot("neovim-failed.png");
  throw error;
} finally {
  await pages.close();
  await nvim.quit();
  fs.rmSync(path.join(root, "editors/neovim/doc/tags"), { force: true });
  fs.rmSync(folder, { recursive: true, force: true });
}
