// A user interface for Neovim that keeps its screen: the characters and colours that a person would see.
import { spawn } from "node:child_process";
import { require } from "./support.mjs";

const { Decoder, Encoder, ExtensionCodec } = require("@msgpack/msgpack");

export class Neovim {
  constructor(program, args, env, rows = 40, columns = 140) {
    this.rows = rows;
    this.columns = columns;
    this.grid = Array.from({ length: rows }, () => Array.from({ length: columns }, () => [" ", 0]));
    this.styles = new Map([[0, {}]]);
    this.colors = { foreground: 0xe0e2ea, background: 0x14161b };
    this.cursor = [0, 0];
    this.waiting = new Map();
    this.next = 1;
    this.process = spawn(program, ["--embed", ...args], { env, stdio: ["pipe", "pipe", "inherit"] });
    const codec = new ExtensionCodec();
    for (const type of [0, 1, 2]) {
      codec.register({ type, encode: () => null, decode: () => null });
    }
    this.encoder = new Encoder({ extensionCodec: codec });
    void this.listen(new Decoder({ extensionCodec: codec }));
  }

  async listen(decoder) {
    for await (const [type, ...rest] of decoder.decodeStream(this.process.stdout)) {
      if (type === 1) {
        const [id, error, result] = rest;
        const { resolve, reject } = this.waiting.get(id);
        this.waiting.delete(id);
        if (error) {
          reject(new Error(String(error[1] ?? error)));
        } else {
          resolve(result);
        }
      } else if (type === 2 && rest[0] === "redraw") {
        rest[1].forEach((event) => this.redraw(event));
      }
    }
  }

  /** Calls a function of Neovim's API. */
  call(method, ...args) {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.process.stdin.write(this.encoder.encode([0, id, method, args]));
    });
  }

  attach() {
    return this.call("nvim_ui_attach", this.columns, this.rows, { rgb: true, ext_linegrid: true });
  }

  lua(code, ...args) {
    return this.call("nvim_exec_lua", code, args);
  }

  redraw([name, ...batches]) {
    for (const batch of batches) {
      if (name === "default_colors_set") {
        if (batch[0] >= 0) this.colors.foreground = batch[0];
        if (batch[1] >= 0) this.colors.background = batch[1];
      } else if (name === "hl_attr_define") {
        this.styles.set(batch[0], batch[1]);
      } else if (name === "grid_clear") {
        this.grid.forEach((row) => row.forEach((cell) => cell.splice(0, 2, " ", 0)));
      } else if (name === "grid_cursor_goto") {
        this.cursor = [batch[1], batch[2]];
      } else if (name === "grid_line") {
        const [, row, start, cells] = batch;
        let column = start;
        let style = 0;
        for (const [text, newStyle, repeat = 1] of cells) {
          style = newStyle ?? style;
          for (let i = 0; i < repeat; i++) {
            this.grid[row][column++] = [text, style];
          }
        }
      } else if (name === "grid_scroll") {
        const [, top, bottom, left, right, rows] = batch;
        const order = rows > 0 ? [top, bottom - rows, 1] : [bottom - 1, top - rows - 1, -1];
        for (let row = order[0]; row !== order[1]; row += order[2]) {
          for (let column = left; column < right; column++) {
            this.grid[row][column] = [...this.grid[row + rows][column]];
          }
        }
      }
    }
  }

  /** The lines on the screen. */
  screen() {
    return this.grid.map((row) => row.map(([text]) => text).join("").trimEnd());
  }

  /** The screen as a page. */
  html() {
    const color = (value) => `#${value.toString(16).padStart(6, "0")}`;
    const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
    const lines = this.grid.map((row, y) => {
      let out = "";
      let open = null;
      row.forEach(([text, id], x) => {
        const own = this.styles.get(id) ?? {};
        const cursor = y === this.cursor[0] && x === this.cursor[1];
        let foreground = own.foreground ?? this.colors.foreground;
        let background = own.background ?? this.colors.background;
        if (own.reverse || cursor) [foreground, background] = [background, foreground];
        const css =
          `color:${color(foreground)};background:${color(background)}` +
          (own.bold ? ";font-weight:bold" : "") +
          (own.italic ? ";font-style:italic" : "") +
          (own.undercurl || own.underline ? `;text-decoration:underline ${own.undercurl ? "wavy" : ""} ${color(own.special ?? foreground)}` : "");
        if (css !== open) {
          out += `${open === null ? "" : "</span>"}<span style="${css}">`;
          open = css;
        }
        out += escape(text);
      });
      return `<div>${out}</span></div>`;
    });
    return `<style>body{margin:0;padding:14px 18px;background:${color(this.colors.background)}}
      div{font:14px/20px "DejaVu Sans Mono",monospace;white-space:pre;height:20px}</style>${lines.join("")}`;
  }

  async quit() {
    this.call("nvim_command", "qa!").catch(() => undefined);
    await new Promise((resolve) => this.process.once("exit", resolve));
  }
}
