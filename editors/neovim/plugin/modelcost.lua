if vim.g.loaded_modelcost then
  return
end
vim.g.loaded_modelcost = true

vim.filetype.add({ extension = { onnxtxt = "onnxtxt" } })

local function modelcost()
  return require("modelcost")
end

vim.api.nvim_create_user_command("ModelcostConvention", function(args)
  modelcost().convention(args.args)
end, {
  nargs = "?",
  complete = function(lead)
    return modelcost().complete_convention(lead)
  end,
  desc = "Choose how models are counted; without a name, from a list",
})

vim.api.nvim_create_user_command("ModelcostCompare", function()
  modelcost().show("modelcost.compare")
end, { desc = "This model under every convention" })

vim.api.nvim_create_user_command("ModelcostReport", function()
  modelcost().show("modelcost.report")
end, { desc = "What the tool prints for this model" })

vim.api.nvim_create_user_command("ModelcostReconcile", function(args)
  modelcost().show("modelcost.reconcile", args.args)
end, { nargs = 1, desc = "Which convention gives a figure, such as 4.1G" })

vim.api.nvim_create_autocmd("BufReadCmd", {
  group = vim.api.nvim_create_augroup("modelcost.view", {}),
  pattern = { "*.onnx", "*.pt2" },
  callback = function(event)
    modelcost().view(event.buf, event.match)
  end,
})
