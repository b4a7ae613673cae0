//! `torch.fft`, and complex numbers.

use super::{BOTH, Entry, FFT, TORCH};

macro_rules! one {
    ($name:literal, $doc:literal) => {
        Entry::line(
            FFT,
            concat!($name, "(input, n=None, dim=-1, norm=None)"),
            concat!("aten.fft_", $name, "(input, n, dim, norm)"),
            $doc,
        )
    };
}

macro_rules! two {
    ($name:literal, $doc:literal) => {
        Entry::line(
            FFT,
            concat!($name, "(input, s=None, dim=(-2, -1), norm=None)"),
            concat!("aten.fft_", $name, "(input, s, dim, norm)"),
            $doc,
        )
    };
}

macro_rules! many {
    ($name:literal, $doc:literal) => {
        Entry::line(
            FFT,
            concat!($name, "(input, s=None, dim=None, norm=None)"),
            concat!("aten.fft_", $name, "(input, s, dim, norm)"),
            $doc,
        )
    };
}

pub(super) static FUNCTIONS: [Entry; 26] = [
    one!("fft", "Fourier transform along one dimension."),
    one!("ifft", "Back from a Fourier transform."),
    one!("rfft", "Fourier transform of real numbers: one half of it."),
    one!("irfft", "Back from the half to real numbers."),
    one!("hfft", "Real Fourier transform of half a symmetric signal."),
    one!("ihfft", "Back from `hfft`."),
    two!("fft2", "Fourier transform along two dimensions."),
    two!("ifft2", "Back from a Fourier transform along two."),
    two!(
        "rfft2",
        "Fourier transform of a real image: one half of it."
    ),
    two!("irfft2", "Back from the half to a real image."),
    many!("fftn", "Fourier transform along several dimensions."),
    many!("ifftn", "Back from a Fourier transform along several."),
    many!("rfftn", "Fourier transform of real numbers along several."),
    many!(
        "irfftn",
        "Back from the half to real numbers along several."
    ),
    Entry::line(
        FFT,
        "fftshift(input, dim=None)",
        "aten.fft_fftshift(input, dim)",
        "The zero frequency moved to the middle.",
    ),
    Entry::line(
        FFT,
        "ifftshift(input, dim=None)",
        "aten.fft_ifftshift(input, dim)",
        "The zero frequency moved back to the front.",
    ),
    Entry::line(
        FFT,
        "fftfreq(n, d=1.0)",
        "aten.fft_fftfreq(n, d)",
        "The frequencies of a transform of n samples.",
    ),
    Entry::line(
        FFT,
        "rfftfreq(n, d=1.0)",
        "aten.fft_rfftfreq(n, d)",
        "The frequencies of half a transform of n samples.",
    ),
    Entry::line(
        BOTH,
        "conj(input)",
        "aten.conj(input)",
        "Complex conjugates.",
    ),
    Entry::line(BOTH, "real(input)", "aten.real(input)", "Real parts."),
    Entry::line(BOTH, "imag(input)", "aten.imag(input)", "Imaginary parts."),
    Entry::line(
        BOTH,
        "angle(input)",
        "aten.angle(input)",
        "Angles of complex numbers.",
    ),
    Entry::line(
        TORCH,
        "view_as_real(input)",
        "aten.view_as_real(input)",
        "Complex numbers as pairs along a new last dimension.",
    ),
    Entry::line(
        TORCH,
        "view_as_complex(input)",
        "aten.view_as_complex(input)",
        "Pairs along the last dimension as complex numbers.",
    ),
    Entry::line(
        TORCH,
        "complex(real, imag)",
        "aten.complex(real, imag)",
        "Complex numbers of their parts.",
    ),
    Entry::line(
        TORCH,
        "polar(abs, angle)",
        "aten.polar(abs, angle)",
        "Complex numbers of lengths and angles.",
    ),
];
