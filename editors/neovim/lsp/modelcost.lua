-- Read by `vim.lsp.enable("modelcost")` (Neovim 0.11 and later).
return {
  cmd = { "modelcost", "lsp" },
  filetypes = { "toml", "onnxtxt" },
  root_markers = { "modelcost.toml", ".git" },
  init_options = { showsResults = true, status = true },
}
