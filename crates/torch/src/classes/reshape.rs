//! Modules that reshape, pad and rearrange.

use super::Entry;

pub(super) static CLASSES: [Entry; 7] = [
    Entry::new(
        "torch.nn.Flatten",
        "Flatten(start_dim=1, end_dim=-1)",
        "Several dimensions as one.",
    )
    .forward_line("input.flatten(self.start_dim, self.end_dim)"),
    Entry::new(
        "torch.nn.Unflatten",
        "Unflatten(dim, unflattened_size)",
        "One dimension as several.",
    )
    .forward_line("input.unflatten(self.dim, self.unflattened_size)"),
    Entry::new(
        "torch.nn.PixelShuffle",
        "PixelShuffle(upscale_factor)",
        "Channels rearranged to a larger image.",
    )
    .forward_line("F.pixel_shuffle(input, self.upscale_factor)"),
    Entry::new(
        "torch.nn.PixelUnshuffle",
        "PixelUnshuffle(downscale_factor)",
        "An image rearranged to more channels.",
    )
    .forward_line("F.pixel_unshuffle(input, self.downscale_factor)"),
    Entry::new(
        "torch.nn.ChannelShuffle",
        "ChannelShuffle(groups)",
        "Channels of all groups mixed.",
    )
    .forward_line("F.channel_shuffle(input, self.groups)"),
    Entry::new(
        "torch.nn.Unfold",
        "Unfold(kernel_size, dilation=1, padding=0, stride=1)",
        "The windows of an image as columns.",
    )
    .forward_line(
        "F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)",
    ),
    Entry::new(
        "torch.nn.Fold",
        "Fold(output_size, kernel_size, dilation=1, padding=0, stride=1)",
        "Adds columns back to the windows of an image.",
    )
    .forward_line(
        "F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)",
    ),
];
