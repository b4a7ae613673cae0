import * as vscode from "vscode";
import { ExecuteCommandRequest, LanguageClient } from "vscode-languageclient/node";

import { StatusBar } from "./status";

/** A convention as the server lists it. */
interface Convention {
  identity: string;
  id: string;
  unit: string;
  summary: string;
}

/** Runs a command of the server. */
async function execute<T>(client: LanguageClient, command: string, ...args: unknown[]): Promise<T> {
  return client.sendRequest(ExecuteCommandRequest.type, { command, arguments: args }) as Promise<T>;
}

/** Shows a Markdown text of the server beside the model, rendered. */
export async function showText(text: string): Promise<void> {
  const document = await vscode.workspace.openTextDocument({ language: "markdown", content: text });
  await vscode.commands.executeCommand("markdown.showPreviewToSide", document.uri);
}

/** Runs a command about the active editor's model and shows what it answers. */
async function show(client: LanguageClient, command: string, ...args: unknown[]): Promise<void> {
  const uri = vscode.window.activeTextEditor?.document.uri;
  if (!uri) {
    return;
  }
  try {
    await showText(await execute<string>(client, command, uri.toString(), ...args));
  } catch (error) {
    void vscode.window.showErrorMessage(`modelcost: ${error instanceof Error ? error.message : error}`);
  }
}

/** Lets the person choose a convention for all documents. */
export async function chooseConvention(client: LanguageClient, status: StatusBar): Promise<void> {
  const all = await execute<Convention[]>(client, "modelcost.conventions");
  const current = status.current?.convention;
  const items = all.map((convention) => ({
    label: `${convention.identity === current ? "$(check) " : ""}${convention.identity}`,
    description: convention.unit,
    detail: convention.summary,
    identity: convention.identity as string | null,
  }));
  items.push({ label: "$(discard) As settings and files say", description: "", detail: "", identity: null });
  const chosen = await vscode.window.showQuickPick(items, {
    placeHolder: "Count as…",
    matchOnDescription: true,
    matchOnDetail: true,
  });
  if (!chosen) {
    return;
  }
  await execute(client, "modelcost.setConvention", chosen.identity);
  if (chosen.identity && status.current?.chosenBy === "comment") {
    void vscode.window.showInformationMessage("This file names its convention in a comment, which is stronger.");
  }
}

async function reconcile(client: LanguageClient): Promise<void> {
  const figure = await vscode.window.showInputBox({
    title: "Which convention gives this figure?",
    prompt: "A figure as a paper prints it: 4.1G, 25.6M, 4089184256",
  });
  if (figure) {
    await show(client, "modelcost.reconcile", figure);
  }
}

/** The extension's commands. */
export function registerCommands(client: LanguageClient, status: StatusBar): vscode.Disposable[] {
  const register = vscode.commands.registerCommand;
  return [
    register("modelcost.chooseConvention", () => chooseConvention(client, status)),
    register("modelcost.showComparison", () => show(client, "modelcost.compare")),
    register("modelcost.showReport", () => show(client, "modelcost.report")),
    register("modelcost.reconcileFigure", () => reconcile(client)),
    register("modelcost.restart", () => client.restart()),
  ];
}
