import * as vscode from "vscode";
import { LanguageClient, State } from "vscode-languageclient/node";

import { chooseConvention, registerCommands, showText } from "./commands";
import { Programs } from "./programs";
import { serverOptions } from "./server";
import { StatusBar } from "./status";

let client: LanguageClient | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const output = vscode.window.createOutputChannel("modelcost", { log: true });
  const command = serverOptions(context, output);
  if (!command) {
    return;
  }
  client = new LanguageClient(
    "modelcost",
    "modelcost",
    { command, args: ["lsp"] },
    {
      documentSelector: [
        { scheme: "file", language: "toml" },
        { scheme: "untitled", language: "toml" },
        { language: "onnxtxt" },
        { scheme: Programs.scheme },
      ],
      outputChannel: output,
      synchronize: { configurationSection: "modelcost" },
      initializationOptions: () => ({
        settings: vscode.workspace.getConfiguration("modelcost"),
        showsResults: true,
        status: true,
      }),
      middleware: {
        // The lenses' commands come through here: their answers are texts to be shown.
        async executeCommand(name, args, next) {
          const result = await next(name, args);
          if (typeof result === "string") {
            await showText(result);
          }
          return result;
        },
      },
    },
  );
  const running = client;
  const status = new StatusBar();
  const programs = new Programs(running);
  context.subscriptions.push(output, status, programs, ...registerCommands(running, status));
  context.subscriptions.push(
    // What the lens with the convention's name runs.
    vscode.commands.registerCommand("modelcost.pickConvention", () => chooseConvention(running, status)),
    running.onNotification("modelcost/status", (message) => status.update(message)),
    running.onDidChangeState((change) => {
      if (change.newState === State.Stopped) {
        status.clear();
      }
    }),
  );
  try {
    await running.start();
  } catch (error) {
    output.error(`the server does not start: ${error}`);
    void vscode.window.showErrorMessage(`modelcost: the server does not start (${command}).`);
  }
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}
