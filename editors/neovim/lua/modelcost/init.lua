--- Cost hints for neural networks, from the `modelcost` language server.
local M = {}

M.config = {
  --- How the server is started.
  cmd = { "modelcost", "lsp" },
  --- Settings as in `modelcost.toml`: `{ convention = "thop", hints = { units = "raw" } }`.
  settings = {},
  --- Whether inlay hints are turned on in buffers of models.
  hints = true,
}

--- The totals that the server last told, by buffer.
M.totals = {}

local group = vim.api.nvim_create_augroup("modelcost", {})

--- @param path string
local function root_of(path)
  local found = vim.fs.find({ "modelcost.toml", ".git" }, { upward = true, path = vim.fs.dirname(path) })[1]
  return found and vim.fs.dirname(found) or vim.fs.dirname(path)
end

--- Handles what the server says on its own.
M.handlers = {
  ["modelcost/status"] = function(_, status)
    local buffer = vim.uri_to_bufnr(status.uri)
    M.totals[buffer] = status
    vim.api.nvim_exec_autocmds("User", { pattern = "ModelcostStatus", modeline = false, data = status })
    vim.cmd.redrawstatus()
  end,
  -- Neovim's own handler asks again, but keeps the old hints on screen if anything is redrawn before the answer:
  -- it takes hints of the same version of the text for the same hints.
  ["workspace/inlayHint/refresh"] = function(_, _, context)
    local client = vim.lsp.get_client_by_id(context.client_id)
    for buffer in pairs(client and client.attached_buffers or {}) do
      if vim.lsp.inlay_hint.is_enabled({ bufnr = buffer }) then
        vim.lsp.inlay_hint.enable(false, { bufnr = buffer })
        vim.lsp.inlay_hint.enable(true, { bufnr = buffer })
      end
    end
    return vim.NIL
  end,
}

--- @param path string
local function client_config(path)
  return {
    name = "modelcost",
    cmd = M.config.cmd,
    filetypes = { "toml", "onnxtxt" },
    root_markers = { "modelcost.toml", ".git" },
    root_dir = path and root_of(path) or nil,
    init_options = { settings = M.config.settings, showsResults = true, status = true },
    handlers = M.handlers,
  }
end

--- Starts the server for TOML files and ONNX text, and turns their hints on.
--- @param options? table see |modelcost-setup|
function M.setup(options)
  M.config = vim.tbl_deep_extend("force", M.config, options or {})
  -- What code lenses run. `vim.lsp.commands` is how clients offer commands of their own.
  vim.lsp.commands["modelcost.compare"] = function()
    M.show("modelcost.compare")
  end
  vim.lsp.commands["modelcost.report"] = function()
    M.show("modelcost.report")
  end
  vim.lsp.commands["modelcost.pickConvention"] = function()
    M.convention("")
  end

  vim.api.nvim_create_autocmd("LspAttach", {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == "modelcost" and M.config.hints then
        vim.lsp.inlay_hint.enable(true, { bufnr = event.buf })
      end
    end,
  })

  if vim.lsp.config then
    local config = client_config(nil)
    config.root_dir = nil
    vim.lsp.config("modelcost", config)
    vim.lsp.enable("modelcost")
    return
  end
  -- Neovim 0.10 has no `vim.lsp.config`.
  vim.api.nvim_create_autocmd("FileType", {
    group = group,
    pattern = { "toml", "onnxtxt" },
    callback = function(event)
      if vim.bo[event.buf].buftype == "" then
        vim.lsp.start(client_config(vim.api.nvim_buf_get_name(event.buf)), { bufnr = event.buf })
      end
    end,
  })
end

--- The client of a buffer, or any.
--- @param buffer? integer
function M.client(buffer)
  return vim.lsp.get_clients({ name = "modelcost", bufnr = buffer or 0 })[1]
    or vim.lsp.get_clients({ name = "modelcost" })[1]
end

--- Runs a command of the server and gives its answer to `done`.
local function execute(command, arguments, done)
  local client = M.client()
  if not client then
    vim.notify("modelcost: no model is open", vim.log.levels.WARN)
    return
  end
  local function answered(err, result)
    if err then
      vim.notify("modelcost: " .. err.message, vim.log.levels.ERROR)
    elseif done then
      done(result)
    end
  end
  local params = { command = command, arguments = arguments }
  -- Methods of clients take the client since 0.11.
  if vim.fn.has("nvim-0.11") == 1 then
    client:request("workspace/executeCommand", params, answered)
  else
    client.request("workspace/executeCommand", params, answered)
  end
end

--- Shows a text of the server in a window of its own.
local function scratch(text, name)
  vim.cmd("botright new")
  local buffer = vim.api.nvim_get_current_buf()
  vim.bo[buffer].buftype = "nofile"
  vim.bo[buffer].bufhidden = "wipe"
  vim.bo[buffer].swapfile = false
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, vim.split(text, "\n"))
  vim.bo[buffer].filetype = "markdown"
  vim.bo[buffer].modifiable = false
  vim.wo.wrap = false
  pcall(vim.api.nvim_buf_set_name, buffer, "modelcost://" .. name)
  vim.keymap.set("n", "q", "<cmd>close<cr>", { buffer = buffer, desc = "Close" })
end

--- Runs a command about the current buffer and shows what it answers.
--- @param command string
--- @param argument? string
function M.show(command, argument)
  execute(command, { vim.uri_from_bufnr(0), argument }, function(text)
    scratch(text, command:gsub("^modelcost%.", "") .. "/" .. vim.fn.fnamemodify(vim.api.nvim_buf_get_name(0), ":t"))
  end)
end

--- The identities of all conventions, once the server has told them.
local known = {}

local function with_conventions(done)
  if #known > 0 then
    return done(known)
  end
  execute("modelcost.conventions", {}, function(all)
    known = all
    done(known)
  end)
end

--- Chooses a convention for all buffers: by name, or from a list when the name is empty.
--- @param name string
function M.convention(name)
  if name ~= "" then
    execute("modelcost.setConvention", { name })
    return
  end
  with_conventions(function(all)
    vim.ui.select(all, {
      prompt = "Count as",
      format_item = function(item)
        return ("%-28s %-5s %s"):format(item.identity, item.unit, item.summary)
      end,
    }, function(choice)
      if choice then
        execute("modelcost.setConvention", { choice.identity })
      end
    end)
  end)
end

--- @param lead string
function M.complete_convention(lead)
  local names = {}
  with_conventions(function() end)
  vim.wait(2000, function()
    return #known > 0
  end, 10)
  for _, item in ipairs(known) do
    if vim.startswith(item.identity, lead) then
      table.insert(names, item.identity)
    end
  end
  return names
end

--- The convention and totals of a buffer in a few words, for a status line.
--- @param buffer? integer
function M.status(buffer)
  buffer = (buffer == nil or buffer == 0) and vim.api.nvim_get_current_buf() or buffer
  local status = M.totals[buffer]
  if not status then
    return ""
  end
  local total = status.count or status.params or ""
  return status.convention .. (total ~= "" and (": " .. total) or "") .. (status.stale and " …" or "")
end

--- Fills a buffer with the text of a program file: ONNX as ONNX text, `.pt2` as a tree.
--- @param buffer integer
--- @param path string
function M.view(buffer, path)
  path = vim.fn.fnamemodify(path, ":p")
  vim.bo[buffer].buftype = "nowrite"
  vim.bo[buffer].swapfile = false
  local config = client_config(path)
  -- Attached below, when the buffer holds the text that the server knows.
  local id = vim.lsp.start(config, { attach = false, bufnr = buffer })
  local client = id and vim.lsp.get_client_by_id(id)
  if not client then
    vim.notify("modelcost: the server does not start; see :checkhealth modelcost", vim.log.levels.ERROR)
    return
  end
  vim.wait(5000, function()
    return client.initialized
  end, 5)
  local params = { command = "modelcost.view", arguments = { vim.uri_from_fname(path) } }
  local answer
  if vim.fn.has("nvim-0.11") == 1 then
    answer = client:request_sync("workspace/executeCommand", params, 30000, buffer)
  else
    answer = client.request_sync("workspace/executeCommand", params, 30000, buffer)
  end
  local problem = not answer and "the server does not answer" or (answer.err and answer.err.message)
  local text = problem and ("# " .. path .. "\n# " .. problem) or answer.result.text
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, vim.split((text:gsub("\n$", "")), "\n"))
  vim.bo[buffer].modified = false
  vim.bo[buffer].modifiable = false
  vim.bo[buffer].readonly = true
  vim.api.nvim_exec_autocmds("BufReadPost", { buffer = buffer, modeline = false })
  vim.bo[buffer].filetype = problem and "text" or answer.result.languageId
  if not problem then
    vim.lsp.buf_attach_client(buffer, id)
  end
end

return M
