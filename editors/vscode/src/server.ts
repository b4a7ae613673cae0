import * as fs from "node:fs";
import * as path from "node:path";
import * as vscode from "vscode";

/** The program to run: the one that the settings name, or the one that came with the extension, or the one on the path. */
export function serverOptions(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): string | undefined {
  const chosen = vscode.workspace.getConfiguration("modelcost").get<string>("server.path", "").trim();
  if (chosen) {
    if (!fs.existsSync(chosen)) {
      void vscode.window.showErrorMessage(`modelcost.server.path: there is no file ${chosen}.`);
      return undefined;
    }
    return chosen;
  }
  const name = process.platform === "win32" ? "modelcost.exe" : "modelcost";
  const bundled = path.join(context.extensionPath, "server", name);
  if (!fs.existsSync(bundled)) {
    log.warn(`no server came with this extension for ${process.platform}-${process.arch}; trying '${name}' on the path`);
    return name;
  }
  try {
    // Some ways of installing lose the bit.
    fs.chmodSync(bundled, 0o755);
  } catch (error) {
    log.warn(`${bundled}: ${error}`);
  }
  return bundled;
}
