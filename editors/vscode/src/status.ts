import * as vscode from "vscode";

/** What the server tells about a document's totals. */
export interface Status {
  uri: string;
  convention: string;
  chosenBy: string;
  count: string | null;
  params: string | null;
  countExact: string | null;
  paramsExact: string | null;
  stale: boolean;
}

/** The convention and the total of the active editor's model. */
export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem("modelcost.status", vscode.StatusBarAlignment.Right, 90);
  private readonly known = new Map<string, Status>();
  private readonly listeners: vscode.Disposable[];

  constructor() {
    this.item.name = "modelcost";
    this.item.command = "modelcost.chooseConvention";
    this.listeners = [
      vscode.window.onDidChangeActiveTextEditor(() => this.show()),
      vscode.workspace.onDidCloseTextDocument((document) => this.known.delete(document.uri.toString())),
    ];
  }

  update(status: Status): void {
    this.known.set(vscode.Uri.parse(status.uri).toString(), status);
    this.show();
  }

  clear(): void {
    this.known.clear();
    this.show();
  }

  /** The status of the active editor's document. */
  get current(): Status | undefined {
    const uri = vscode.window.activeTextEditor?.document.uri.toString();
    return uri === undefined ? undefined : this.known.get(uri);
  }

  private show(): void {
    const status = this.current;
    void vscode.commands.executeCommand("setContext", "modelcost.hasModel", status !== undefined);
    if (!status) {
      this.item.hide();
      return;
    }
    const total = status.count ?? status.params ?? "";
    this.item.text = `$(symbol-ruler) ${status.convention}${total ? `: ${total}` : ""}${status.stale ? " …" : ""}`;
    const lines = [
      `**${status.convention}**`,
      status.countExact ? `${status.countExact} (${status.count})` : "",
      status.paramsExact ? `${status.paramsExact} parameters` : "",
      status.stale ? "The text has an error; these are the numbers from before it." : "",
      `Chosen by: ${status.chosenBy}. Click to choose another.`,
    ];
    this.item.tooltip = new vscode.MarkdownString(lines.filter((line) => line !== "").join("\n\n"));
    this.item.show();
  }

  dispose(): void {
    this.item.dispose();
    this.listeners.forEach((listener) => listener.dispose());
  }
}
