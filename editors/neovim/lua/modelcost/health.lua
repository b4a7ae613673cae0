--- `:checkhealth modelcost`
local M = {}

function M.check()
  vim.health.start("modelcost")
  if vim.fn.has("nvim-0.10") == 0 then
    vim.health.error("Neovim 0.10 or later is needed for inlay hints")
    return
  end
  vim.health.ok("Neovim " .. tostring(vim.version()))
  if not vim.lsp.config then
    vim.health.info("This Neovim has no vim.lsp.config (0.11 has); the plugin starts the server itself")
  end

  local config = require("modelcost").config
  local program = config.cmd[1]
  if vim.fn.executable(program) == 0 then
    vim.health.error(("'%s' is not executable"):format(program), {
      "Install it: cargo install --path crates/cli",
      "Or say where it is: require('modelcost').setup({ cmd = { '/path/to/modelcost', 'lsp' } })",
    })
    return
  end
  vim.health.ok("server: " .. vim.fn.exepath(program) .. " " .. table.concat(config.cmd, " ", 2))

  local clients = vim.lsp.get_clients({ name = "modelcost" })
  if #clients == 0 then
    vim.health.info("The server is not running: it starts with the first TOML file")
  end
  for _, client in ipairs(clients) do
    local info = client.server_info or {}
    vim.health.ok(("running: version %s, positions in %s"):format(info.version or "?", client.offset_encoding))
  end
  if not config.hints then
    vim.health.info("hints are turned off by `hints = false`; :lua vim.lsp.inlay_hint.enable() turns them on")
  end
end

return M
