//! `stompp-tract FILE.onnx INPUTS SIDE`: prints the class of each image, one per line.
//!
//! `INPUTS` holds prepared images, (image, 3, side, side), as little-endian `f32`.

use std::error::Error;
use tract_onnx::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, inputs, side] = &arguments[..] else {
        return Err("usage: stompp-tract FILE.onnx INPUTS SIDE".into());
    };
    let shape = [1, 3, side.parse()?, side.parse()?];
    let network = tract_onnx::onnx()
        .model_for_path(file)?
        .with_input_fact(0, f32::fact(shape).into())?
        .into_optimized()?
        .into_runnable()?;
    let bytes = std::fs::read(inputs)?;
    let (values, rest) = bytes.as_chunks();
    let values: Vec<f32> = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
    let len: usize = shape.iter().product();
    if !rest.is_empty() || values.len() % len != 0 {
        return Err(format!("{inputs} ends inside an image").into());
    }
    for image in values.chunks(len) {
        let answer = network.run(tvec!(Tensor::from_shape(&shape, image)?.into()))?;
        let logits = answer[0].to_plain_array_view::<f32>()?;
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        println!("{}", best.ok_or("no classes")?.0);
    }
    Ok(())
}
