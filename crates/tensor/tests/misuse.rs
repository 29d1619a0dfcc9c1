//! Misuse of functions that only the values, or the arguments together, betray: the error says what and where.

use gradus_tensor::{DType, Device, Tensor};

#[track_caller]
fn refuses(result: &Tensor, words: &[&str]) {
    let error = match result.eval() {
        Ok(()) => panic!("not refused: {result}"),
        Err(error) => error.to_string(),
    };
    for word in words {
        assert!(error.contains(word), "\"{word}\" is not in: {error}");
    }
    assert!(error.contains("misuse.rs"), "the caller's line is not in: {error}");
}

#[test]
fn integers_have_no_quotient_by_zero() {
    for device in [Device::Cpu, Device::Reference] {
        let a = Tensor::from_slice(&[5i64, 6, 7], [3]).to(device);
        let b = Tensor::from_slice(&[1i64, 0, 2], [3]).to(device);
        let words = ["divisor is 0 at position 1"];
        refuses(&a.floor_divide(&b), &words);
        refuses(&a.fmod(&b), &words);
        refuses(&a.remainder(&b), &words);
        refuses(&a.remainder(0), &["divisor is 0"]);
    }
    let flags = Tensor::from_slice(&[true], [1]);
    refuses(&flags.floor_divide(&flags), &["floor_divide", "cast to an integer"]);
}

#[test]
fn scatter_refuses_two_values_for_one_place() {
    let zeros = Tensor::zeros([3], DType::F32);
    let index = Tensor::from_slice(&[0i64, 2, 2], [3]);
    let values = Tensor::from_slice(&[1.0f32, 2.0, 3.0], [3]);
    refuses(&zeros.scatter(0, &index, &values), &["scatter", "one place", "position 2"]);
}

#[test]
fn equations_say_what_is_wrong() {
    let a = Tensor::zeros([2, 3], DType::F32);
    let b = Tensor::zeros([4, 5], DType::F32);
    refuses(&Tensor::einsum("ij,jk->ik", &[&a, &b]), &["einsum", "j has sizes 3 and 4", "[2, 3]"]);
    refuses(&Tensor::einsum("ij,jk->ik", &[&a]), &["2 terms for 1 operands"]);
    refuses(&Tensor::einsum("ijk->i", &[&a]), &["\"ijk\" names 3 axes of a tensor of 2"]);
    refuses(&Tensor::einsum("ij->iz", &[&a]), &["z is in the result but in no operand"]);
    refuses(&Tensor::einsum("i1->i", &[&a]), &["'1'", "labels are letters"]);
}

#[test]
fn masks_and_dtypes_must_fit() {
    let x = Tensor::from_slice(&[1i64, 2], [2]);
    let mask = Tensor::from_slice(&[true, false], [2]);
    refuses(&x.masked_fill(&mask, 0.5), &["masked_fill", "int64", "cast it first"]);
    refuses(&x.masked_select(&x), &["masked_select", "must be bool"]);
    refuses(&x.masked_select(&Tensor::zeros([3], DType::Bool)), &["[2]", "[3]", "broadcast"]);
    refuses(&x.norm(2.0, &[], false), &["norm", "int64", "cast to a float"]);
    refuses(&x.var(&[], 1, false), &["var", "int64", "cast to a float"]);
    refuses(&x.round_decimals(1), &["round_decimals", "int64"]);
}

#[test]
fn parts_and_places_must_fit() {
    let x = Tensor::zeros([4, 2], DType::F32);
    refuses(&x.split_sizes(&[1, 2], 0)[0], &["split_sizes", "add up to 3", "has 4"]);
    refuses(&x.split(0, 0)[0], &["split", "0 elements"]);
    refuses(&x.chunk(0, 0)[0], &["chunk", "at least one"]);
    refuses(&x.roll(&[1, 2], &[0]), &["roll", "2 shifts for 1 axes"]);
    refuses(&x.repeat(&[2]), &["repeat", "fewer counts"]);
    refuses(&x.movedim(&[0, 1], &[1]), &["movedim", "as many places"]);
    refuses(&x.diagonal(0, 1, -1), &["diagonal", "two axes"]);
    refuses(&x.dot(&x), &["dot", "a vector"]);
    refuses(&Tensor::arange_step(0, 5, -1, DType::I64), &["arange_step", "do not lead"]);
    refuses(&Tensor::linspace(0.0, 1.0, 3, DType::I64), &["linspace", "int64"]);
    refuses(&Tensor::meshgrid(&[&x, &x])[0], &["meshgrid", "vectors"]);
}

#[test]
fn what_failed_stays_failed() {
    let failed = Tensor::zeros([2, 3], DType::F32).matmul(&Tensor::zeros([2, 3], DType::F32));
    let first = ["matmul"];
    let fine = Tensor::zeros([2], DType::F32);
    for result in [
        failed.prod(&[], false),
        failed.logsumexp(&[0], false),
        failed.max(0, false).0,
        failed.min(0, false).1,
        failed.std(&[], 1, false),
        failed.cov(1),
        failed.corrcoef(),
        failed.norm(2.0, &[], false),
        failed.cdist(&fine, 2.0),
        fine.cdist(&failed, 2.0),
        failed.cosine_similarity(&fine, 0, 1e-8),
        Tensor::hstack(&[&fine, &failed]),
        Tensor::vstack(&[&failed, &fine]),
        Tensor::meshgrid(&[&failed, &fine]).remove(0),
        failed.split(1, 0).remove(0),
        failed.unbind(0).remove(0),
        failed.roll(&[1], &[]),
        failed.repeat(&[2, 2]),
        failed.tile(&[2]),
        failed.tril(0),
        failed.diagonal(0, 0, 1),
        failed.diag(0),
        failed.dot(&fine),
        failed.bmm(&fine),
        Tensor::einsum("i,i->", &[&fine, &failed]),
        failed.masked_select(&fine),
        failed.nonzero(),
        fine.index_select(0, &failed),
        failed.index_add(0, &fine, &fine),
        failed.scatter(0, &fine, 1.0),
        failed.clamp(-1.0, 1.0),
        failed.floor_divide(2.0),
        failed.xlogy(&fine),
        failed.hypot(1.0),
        failed.lerp(&fine, 0.5),
        failed.full_like(1.0),
        failed.squeeze_all(),
        failed.unflatten(0, &[1, -1]),
    ] {
        let error = result.eval().expect_err("failed").to_string();
        first.iter().for_each(|word| assert!(error.contains(word), "{error}"));
    }
}
