//! The deterministic parts of transforms against torchvision, to one grey level
//! (`tests/golden/transforms.py` makes the numbers).

use std::collections::HashMap;

use super::color::*;
use super::crop::window;
use super::policy::Op;
use super::warp::{Affine, Map, warp};
use super::*;
use crate::{Array, Image};

fn golden() -> HashMap<&'static str, Image> {
    let read = |line: &'static str| {
        let parts: Vec<&str> = line.split(' ').collect();
        let [name, channels, height, width, hex] = parts[..] else { panic!("{line}") };
        let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
        let pixels = (0..hex.len() / 2).map(byte).collect();
        let shape = [channels, height, width].map(|size| size.parse::<usize>().unwrap());
        (name, Image::new(Array::new(shape, pixels).unwrap()))
    };
    include_str!("../../tests/golden/transforms.txt").lines().map(read).collect()
}

fn done(transform: impl Transform, image: Image) -> Image {
    transform.apply(image, &mut Draws::new(0, 0, 0, 0)).unwrap()
}

fn how(name: &str) -> Resampling {
    match name {
        "nearest" => Resampling::Nearest,
        "bilinear" => Resampling::Bilinear,
        "bicubic" => Resampling::Bicubic,
        other => panic!("{other}"),
    }
}

fn numbers(text: &str) -> Vec<f64> {
    text.split('x').map(|x| x.parse().unwrap()).collect()
}

/// What a case asks for.
fn ours(name: &str, colour: Image, grey: Image) -> Image {
    let (family, rest) = name.split_once('-').unwrap_or((name, ""));
    let (first, second) = rest.split_once('-').unwrap_or((rest, ""));
    let one = |op: Op, magnitude: f64| op.with(colour.clone(), magnitude).unwrap();
    let turned = |angle: f64, how: Resampling, fill: u8| {
        let map = Affine { angle: -angle, ..Affine::default() };
        warp(&colour, map.map(13, 17), how, fill).unwrap()
    };
    match (family, first) {
        ("resize", "grey") => done(Resize::to(6, 30), grey),
        ("resize", _) if second == "shorter" => {
            done(Resize::shorter(9).interpolation(how(first)), colour)
        }
        ("resize", _) => {
            let size = numbers(second);
            let resize = Resize::to(size[0] as usize, size[1] as usize);
            done(resize.interpolation(how(first)), colour)
        }
        ("center", _) if second == "larger" => done(CenterCrop::size(16, 10), colour),
        ("center", _) => done(CenterCrop::new(6), colour),
        ("pad", mode) => {
            let mode = match mode {
                "constant" => PaddingMode::Constant(7),
                "edge" => PaddingMode::Edge,
                "reflect" => PaddingMode::Reflect,
                _ => PaddingMode::Symmetric,
            };
            done(Pad::sides([3, 1, 4, 5]).mode(mode), colour)
        }
        ("horizontal", _) => done(RandomHorizontalFlip::new(1.0), colour),
        ("vertical", _) => done(RandomVerticalFlip::new(1.0), colour),
        ("rotate", name) => turned(second.parse().unwrap(), how(name), 9),
        ("affine", name) => {
            let (translate, shear) = ((2.0, -1.0), (8.0, -5.0));
            let map = Affine { angle: -12.0, translate, scale: 1.2, shear, center: None };
            warp(&colour, map.map(13, 17), how(name), 0).unwrap()
        }
        ("perspective", name) => {
            let start = [(0.0, 0.0), (16.0, 0.0), (16.0, 12.0), (0.0, 12.0)];
            let end = [(1.0, 2.0), (14.0, 0.0), (15.0, 12.0), (3.0, 10.0)];
            warp(&colour, Map::of_corners(start, end).unwrap(), how(name), 50).unwrap()
        }
        ("op", "shear") if second == "x" => one(Op::ShearX, 0.27),
        ("op", "shear") => one(Op::ShearY, 0.27),
        ("op", "translate") if second == "x" => one(Op::TranslateX, -4.9),
        ("op", "translate") => one(Op::TranslateY, 3.2),
        ("op", "rotate") => one(Op::Rotate, 27.0),
        ("brightness", x) => one(Op::Brightness, x.parse::<f64>().unwrap() - 1.0),
        ("contrast", x) => one(Op::Contrast, x.parse::<f64>().unwrap() - 1.0),
        ("saturation", x) => one(Op::Color, x.parse::<f64>().unwrap() - 1.0),
        ("sharpness", x) => one(Op::Sharpness, x.parse::<f64>().unwrap() - 1.0),
        ("hue", _) => hue(colour, name["hue-".len()..].parse().unwrap()).unwrap(),
        ("to", _) => done(Grayscale::default(), colour),
        ("invert", _) => one(Op::Invert, 0.0),
        ("posterize", _) => one(Op::Posterize, 3.0),
        ("solarize", _) => one(Op::Solarize, 128.0 / 255.0),
        ("autocontrast", _) => one(Op::AutoContrast, 0.0),
        ("equalize", _) => {
            let larger = Resize::to(40, 40).interpolation(Resampling::Bicubic);
            equalize(done(larger, colour)).unwrap()
        }
        ("blur", size) => {
            let sigma = second.parse().unwrap();
            done(GaussianBlur::new(size.parse().unwrap()).sigma(sigma, sigma), colour)
        }
        other => panic!("{other:?} is no case"),
    }
}

#[test]
fn transforms_agree_with_torchvision_to_one_grey_level() {
    let golden = golden();
    let (colour, grey) = (&golden["colour"], &golden["grey"]);
    let mut failures = Vec::new();
    for (name, expected) in golden.iter().filter(|(name, _)| !["colour", "grey"].contains(name)) {
        let ours = ours(name, colour.clone(), grey.clone());
        if ours.pixels().shape() != expected.pixels().shape() {
            failures.push(format!("{name}: {:?}, not {:?}", ours.pixels(), expected.pixels()));
            continue;
        }
        let pairs = || ours.pixels().data().iter().zip(expected.pixels().data());
        let worst = pairs().map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        let off = pairs().filter(|(a, b)| a != b).count();
        // Where nothing is rounded twice, nothing may differ.
        // Pillow 13 sometimes resizes columns before rows.
        let exact =
            !["brightness", "contrast", "saturation", "hue", "blur", "sharpness", "resize-grey"]
                .iter()
                .any(|family| name.starts_with(family));
        if worst > u8::from(!exact) {
            failures.push(format!("{name}: {off} of {} differ, by up to {worst}", pairs().count()));
        }
    }
    assert!(golden.len() > 60, "{}", golden.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(ours("to-grey", colour.clone(), grey.clone()).pixels().data(), grey.pixels().data());
}

/// A window that lies in the image is a plain copy; one beside it is all margin.
#[test]
fn windows_may_lie_anywhere() {
    let image = Image::new(Array::new([1, 2, 3], vec![1, 2, 3, 4, 5, 6]).unwrap());
    let of = |origin, size| {
        window(&image, origin, size, PaddingMode::Constant(9)).unwrap().pixels().data().to_vec()
    };
    assert_eq!(of((0, 1), (2, 2)), [2, 3, 5, 6]);
    assert_eq!(of((-1, -1), (2, 2)), [9, 9, 9, 1]);
    assert_eq!(of((1, 2), (2, 2)), [6, 9, 9, 9]);
    assert_eq!(of((5, 5), (1, 2)), [9, 9]);
    assert_eq!(of((-7, -7), (1, 2)), [9, 9]);
    assert_eq!(of((-1, -1), (4, 5)).len(), 20);
}
