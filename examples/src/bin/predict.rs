//! What is in a picture: from the directory of a run to the name of a class.
//!
//! `cargo run --release -p stompp-examples --bin predict RUN IMAGE`
//!
//! `SavedRun::packed` makes the deploy network of the run, one bit a binary weight. For a packed file, which needs no run, see
//! `stompp_train::Predictor`.

use stompp_train::SavedRun;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(dir), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("expected the directory of a run and an image".into());
    };
    let run = SavedRun::open(dir)?;
    let net = run.packed()?;
    // Size, crop, mean and deviation, exactly as in `stompp eval`.
    let view = run.preprocessing()?;
    let top = net.classify(&view.image(&std::fs::read(file)?)?)?;
    for likely in top.iter() {
        let percent = 100.0 * likely.probability;
        println!("{:<20} {percent:5.1} %", run.class_name(likely.class));
    }
    Ok(())
}
