import * as vscode from "vscode";
import { ExecuteCommandRequest, LanguageClient } from "vscode-languageclient/node";

/** A program file as text, which the server makes of it. */
interface View {
  text: string;
  languageId: string;
}

/**
 * Opens `.onnx` and `.pt2` files as read-only text with hints. VS Code takes them for binary files, so a custom editor
 * claims them and puts a text editor in its own place.
 */
export class Programs
  implements vscode.Disposable, vscode.TextDocumentContentProvider, vscode.CustomReadonlyEditorProvider
{
  static readonly scheme = "modelcost-view";
  private readonly registered: vscode.Disposable[];
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;

  constructor(private readonly client: LanguageClient) {
    this.registered = [
      vscode.workspace.registerTextDocumentContentProvider(Programs.scheme, this),
      vscode.window.registerCustomEditorProvider("modelcost.program", this),
      this.changed,
    ];
  }

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    return (await this.view(uri)).text;
  }

  openCustomDocument(uri: vscode.Uri): vscode.CustomDocument {
    return { uri, dispose: () => undefined };
  }

  async resolveCustomEditor(document: vscode.CustomDocument, panel: vscode.WebviewPanel): Promise<void> {
    const uri = document.uri.with({ scheme: Programs.scheme });
    try {
      const view = await this.view(uri);
      // The file may have changed since it was last shown.
      this.changed.fire(uri);
      let text = await vscode.workspace.openTextDocument(uri);
      if (text.languageId !== view.languageId) {
        text = await vscode.languages.setTextDocumentLanguage(text, view.languageId);
      }
      const column = panel.viewColumn;
      panel.dispose();
      await vscode.window.showTextDocument(text, { viewColumn: column, preview: false });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      panel.webview.html = `<p style="font-family: sans-serif; padding: 1em">${escape(message)}</p>`;
    }
  }

  private async view(uri: vscode.Uri): Promise<View> {
    await this.client.start();
    return this.client.sendRequest(ExecuteCommandRequest.type, {
      command: "modelcost.view",
      arguments: [uri.with({ scheme: "file" }).toString()],
    }) as Promise<View>;
  }

  dispose(): void {
    this.registered.forEach((registered) => registered.dispose());
  }
}

function escape(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
