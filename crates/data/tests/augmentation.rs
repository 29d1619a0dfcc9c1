//! Random transforms: within their limits, fresh each epoch, and the same for any number of workers.

use gradus_data::transforms::*;
use gradus_data::{Array, DataLoader, Dataset, Image, Split, datasets};
use gradus_tensor::Result;

/// A picture of 16×12 whose every pixel differs.
fn picture() -> Image {
    let pixels = (0..3 * 16 * 12).map(|i| (i * 37 % 251) as u8).collect();
    Image::new(Array::new([3, 16, 12], pixels).unwrap())
}

fn every_random_transform() -> Vec<Pipeline> {
    let one = || Pipeline::new(5);
    vec![
        one().add(RandomCrop::new(10).padding(2)),
        one().add(RandomResizedCrop::new(8)),
        one().add(RandomHorizontalFlip::default()),
        one().add(RandomVerticalFlip::default()),
        one().add(RandomRotation::new(30.0)),
        one().add(
            RandomAffine::new(10.0).translate(0.2, 0.2).scale(0.8, 1.2).shear([-9., 9., -4., 4.]),
        ),
        one().add(RandomPerspective::new(0.5, 1.0)),
        one().add(ColorJitter::new(0.4, 0.4, 0.4, 0.1)),
        one().add(RandomGrayscale::new(0.5)),
        one().add(GaussianBlur::new(5)),
        one().add(RandomErasing::default()),
        one().add(RandomErasing::new(1.0).value(None)),
        one().add(RandAugment::default()),
        one().add(TrivialAugmentWide),
        one().add(AutoAugment::default()),
        one().add(AutoAugment::new(AugmentPolicy::Cifar10)),
    ]
}

#[test]
fn each_epoch_and_sample_is_another_and_every_run_the_same() {
    for pipeline in every_random_transform() {
        let of = |epoch: u64, sample: usize| {
            pipeline.apply(picture(), epoch, sample).unwrap().pixels().data().to_vec()
        };
        let varied =
            |others: Vec<Vec<u8>>| others.iter().filter(|other| **other != others[0]).count() > 3;
        assert!(varied((0..20).map(|epoch| of(epoch, 0)).collect()), "epochs: {pipeline:?}");
        assert!(varied((0..20).map(|sample| of(0, sample)).collect()), "samples: {pipeline:?}");
        for epoch in 0..5 {
            assert_eq!(of(epoch, 7), of(epoch, 7), "{pipeline:?}");
        }
        assert!(pipeline.deterministic().is_empty(), "{pipeline:?}");
    }
}

/// The same transform twice draws twice: its place in the pipeline is part of the key.
#[test]
fn the_position_in_the_pipeline_counts() {
    let noise = || RandomErasing::new(1.0).scale(0.3, 0.3).value(Some(9));
    let once = Pipeline::new(0).add(noise());
    let twice = Pipeline::new(0).add(noise()).add(noise());
    let differs = (0..10).any(|sample| {
        let of = |pipeline: &Pipeline| {
            pipeline.apply(picture(), 0, sample).unwrap().pixels().data().to_vec()
        };
        of(&once) != of(&twice)
    });
    assert!(differs);
}

#[test]
fn augmented_batches_do_not_depend_on_workers_or_resuming() {
    let loader = |workers| {
        let pipeline = Pipeline::new(1)
            .add(RandomCrop::new(8).padding(2))
            .add(RandomHorizontalFlip::default())
            .add(TrivialAugmentWide)
            .add(RandomErasing::default())
            .add(Normalize::new(&[0.3], &[0.4]).unwrap());
        let mixed = Mixing::new(10, 2).mixup(0.4).cutmix(1.0).smoothing(0.1);
        let digits = mixed.over(pipeline.over(datasets::digits(Split::Test)));
        DataLoader::new(digits).batch_size(48).shuffle(3).workers(workers)
    };
    type Bits = (Vec<u32>, Vec<u32>);
    let bits = |workers, epoch, first| -> Vec<Bits> {
        let batches = loader(workers).batches_from(epoch, first).map(|batch| {
            let (images, labels) = batch.unwrap();
            let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect();
            (bits(images.to_vec().unwrap()), bits(labels.to_vec().unwrap()))
        });
        batches.collect()
    };
    let whole = bits(0, 4, 0);
    assert_eq!(whole.len(), 8);
    assert!(whole != bits(0, 5, 0));
    for workers in [0, 1, 2, 7] {
        for first in 0..=whole.len() {
            assert!(bits(workers, 4, first) == whole[first..], "{workers} workers, from {first}");
        }
    }
}

#[test]
fn crops_are_parts_of_the_image() {
    let crop = Pipeline::new(0).add(RandomCrop::size(5, 4));
    let mut corners = std::collections::HashSet::new();
    for sample in 0..300 {
        let cut = crop.apply(picture(), 0, sample).unwrap();
        assert_eq!(cut.pixels().shape()[..], [3, 5, 4]);
        let whole = picture();
        let first = whole.pixels().data()[..16 * 12]
            .iter()
            .position(|x| *x == cut.pixels().data()[0])
            .expect("a pixel of the image");
        let (row, column) = (first / 12, first % 12);
        assert!(row <= 11 && column <= 8, "{row}, {column}");
        for (at, pixel) in cut.pixels().data().iter().enumerate() {
            let (c, y, x) = (at / 20, at / 4 % 5, at % 4);
            assert_eq!(*pixel, whole.pixels().data()[c * 192 + (row + y) * 12 + column + x]);
        }
        corners.insert(first);
    }
    // Of 12 · 9 places.
    assert!(corners.len() > 80, "{}", corners.len());
}

#[test]
fn mistakes_are_named() {
    let error =
        |pipeline: Pipeline| pipeline.apply(picture(), 0, 0).unwrap_err().message().to_owned();
    let crop = error(Pipeline::new(0).add(RandomCrop::new(20)));
    assert!(crop.contains("no window of 20×20 fits an image of 16×12"), "{crop}");
    assert!(error(Pipeline::new(0).add(CenterCrop::new(0))).contains("a size of 0×0"));
    assert!(error(Pipeline::new(0).add(Resize::to(5, 0))).contains("would become 5×0"));
    assert!(error(Pipeline::new(0).add(GaussianBlur::new(4))).contains("give an odd number"));
    assert!(error(Pipeline::new(0).add(Grayscale::new(2))).contains("2 channels; give 1 or 3"));
    let twice = Pipeline::new(0)
        .add(Normalize::new(&[0.5; 3], &[0.5; 3]).unwrap())
        .add(Normalize::new(&[0.1; 3], &[0.5; 3]).unwrap());
    assert!(error(twice).contains("normalised already"));
    let flat = Image::new(Array::new([4], vec![0u8; 4]).unwrap());
    let error = Pipeline::new(0).add(TrivialAugmentWide).apply(flat, 0, 0).unwrap_err();
    assert!(error.message().contains("[channels, height, width]"), "{error}");
}

/// Grey images and images of another full scale go through everything.
#[test]
fn grey_and_dark_scales_are_no_exception() -> Result<()> {
    let digits = datasets::digits(Split::Test);
    for pipeline in every_random_transform() {
        for sample in 0..30 {
            let image = digits.get(sample)?.0;
            let padded = Pipeline::new(0).add(Pad::new(4)).apply(image, 0, 0)?;
            let changed = pipeline.apply(padded, 1, sample)?;
            assert_eq!(changed.pixels().shape()[0], 1);
            assert!([16, 255].contains(&changed.full_scale()));
        }
    }
    Ok(())
}
