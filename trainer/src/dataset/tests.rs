//! Folders of images, good and bad.

use std::path::Path;

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage};

use super::*;

/// Saves an image, whatever its extension asks for.
fn save(folder: &Path, name: &str, image: impl Into<DynamicImage>) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.into().save(path).unwrap();
}

fn red(i: u8) -> RgbImage {
    RgbImage::from_pixel(20, 16, Rgb([100 + i, 10, 10]))
}

/// `count` images of each of two classes under `folder`.
fn two_classes(folder: &Path, count: u8) {
    for i in 0..count {
        save(folder, &format!("cat/{i}.png"), red(i));
        save(folder, &format!("dog/{i}.jpg"), RgbImage::from_pixel(16, 24, Rgb([10, 10, 100 + i])));
    }
}

/// A folder with all three splits.
fn whole() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (split, count) in [("train", 8), ("validation", 3), ("test", 4)] {
        two_classes(&folder.path().join(split), count);
    }
    folder
}

fn refused(folder: &tempfile::TempDir, parts: &[&str]) {
    let refusal = format!("{:#}", Dataset::load(folder.path()).expect_err("it must be refused"));
    assert!(!refusal.contains('\n'), "{refusal}");
    for part in parts {
        assert!(refusal.contains(part), "{part:?} is not in {refusal:?}");
    }
}

#[test]
fn three_folders_are_three_splits() {
    let folder = whole();
    // Neither is an image of the dataset.
    std::fs::write(folder.path().join("train/cat/readme.txt"), "cats").unwrap();
    std::fs::write(folder.path().join("train/cat/.hidden.png"), "no image").unwrap();
    let dataset = Dataset::load(folder.path()).unwrap();
    let expected = Facts { classes: vec!["cat".into(), "dog".into()], train: 16, validation: 6, test: 8 };
    assert_eq!(dataset.facts(), expected);
    let images = dataset.test.resized(8).unwrap();
    assert_eq!((images.side, images.channels), (8, 3));
    for (i, &label) in images.labels.iter().enumerate() {
        let [red, _, blue] = images.image(i)[..3] else { panic!("three channels") };
        assert_eq!(label == 1, blue > red, "a class keeps its pictures");
    }
    assert_ne!(images.labels, [0, 0, 0, 0, 1, 1, 1, 1], "the first images are of all classes");
}

#[test]
fn one_folder_is_parted_the_same_way_each_time_and_each_class_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path(), 24);
    let dataset = Dataset::load(folder.path()).unwrap();
    // Of each class a sixth, and of the other 20 a sixth.
    assert_eq!(dataset.facts(), Facts { train: 34, validation: 6, test: 8, ..dataset.facts() });
    assert_eq!(dataset.validation.labels().iter().sum::<u16>(), 3);
    let again = Dataset::load(folder.path()).unwrap();
    let mut seen = vec![];
    for (a, b) in
        [&dataset.train, &dataset.validation, &dataset.test].iter().zip([&again.train, &again.validation, &again.test])
    {
        let images = a.resized(8).unwrap();
        assert_eq!(images, b.resized(8).unwrap());
        let cats = (0..images.len()).filter(|&i| images.labels[i] == 0);
        seen.extend(cats.map(|i| images.image(i)[0]));
    }
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(100..124), "every cat is in one split: {seen:?}");
}

#[test]
fn validation_images_that_are_missing_are_parted_from_training_images() {
    let folder = whole();
    std::fs::remove_dir_all(folder.path().join("validation")).unwrap();
    let dataset = Dataset::load(folder.path()).unwrap();
    assert_eq!(dataset.facts(), Facts { train: 14, validation: 2, test: 8, ..dataset.facts() });
}

#[test]
fn one_coloured_image_makes_all_three_coloured() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..6 {
        save(folder.path(), &format!("a/{i}.png"), GrayImage::from_pixel(9, 9, Luma([50 + i])));
        save(folder.path(), &format!("b/{i}.png"), ImageBuffer::<Luma<u16>, _>::from_pixel(9, 9, Luma([0x2000])));
    }
    let grey = Dataset::load(folder.path()).unwrap();
    assert_eq!((grey.train.channels(), grey.train.resized(9).unwrap().pixels.len()), (1, 8 * 81));
    assert_eq!(grey.train.normalisation().unwrap().mean.len(), 1);
    let wide = grey.widened(3);
    assert_eq!((wide.train.channels(), wide.test.resized(9).unwrap().pixels.len()), (3, 2 * 243));
    save(folder.path(), "b/7.jpg", red(0));
    let mixed = Dataset::load(folder.path()).unwrap();
    assert_eq!(mixed.train.channels(), 3);
    let images = mixed.train.resized(9).unwrap();
    let first = (0..images.len()).find(|&i| images.labels[i] == 0).unwrap();
    let [red, green, blue] = images.image(first)[..3] else { panic!("three channels") };
    assert!(red == green && green == blue && (50..56).contains(&red));
}

#[test]
fn few_damaged_files_are_left_out_and_many_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path(), 60);
    let damage =
        |i: usize| std::fs::write(folder.path().join(format!("cat/{i}.png")), b"\x89PNG\r\n\x1a\n damaged").unwrap();
    damage(5);
    // Whole at its head, damaged only further on.
    let path = folder.path().join("dog/7.jpg");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    let Facts { train, validation, test, .. } = Dataset::load(folder.path()).unwrap().facts();
    assert_eq!(train + validation + test, 118);
    damage(6);
    refused(&folder, &["3 of 120 files cannot be decoded, the first is", "dog/7.jpg"]);
}

#[test]
fn what_cannot_be_a_dataset_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    refused(&folder, &["no dataset", "CLASS/*.jpg"]);
    std::fs::write(folder.path().join("table.csv"), "1,2").unwrap();
    refused(&folder, &["no dataset", "CLASS/*.jpg"]);
    for i in 0..6 {
        save(folder.path(), &format!("cat/{i}.png"), red(i));
    }
    refused(&folder, &["one class alone"]);
    std::fs::create_dir(folder.path().join("dog")).unwrap();
    refused(&folder, &["dog holds no images", "jpg"]);
    save(folder.path(), "dog/0.png", red(0));
    refused(&folder, &["the class dog has too few images"]);
    std::fs::write(folder.path().join("dog/0.png"), "").unwrap();
    save(folder.path(), "dog/1.png", red(0));
    save(folder.path(), "dog/2.png", red(0));
    refused(&folder, &["1 of 9 files", "dog/0.png"]);
}

#[test]
fn splits_must_have_the_same_classes() {
    let folder = whole();
    std::fs::remove_dir_all(folder.path().join("validation/dog")).unwrap();
    refused(&folder, &["validation lacks the class dog"]);
    two_classes(&folder.path().join("validation"), 2);
    save(folder.path(), "test/cow/0.png", red(0));
    refused(&folder, &["test has the class cow, which train lacks"]);
    std::fs::remove_dir_all(folder.path().join("test/cow")).unwrap();
    std::fs::create_dir(folder.path().join("valid")).unwrap();
    refused(&folder, &["valid is none of train, validation and test"]);
    std::fs::remove_dir(folder.path().join("valid")).unwrap();
    std::fs::remove_dir_all(folder.path().join("train")).unwrap();
    std::fs::create_dir(folder.path().join("train")).unwrap();
    refused(&folder, &["train holds no folders of images"]);
}

/// Too many bytes to be held: files are then decoded when they are used.
#[test]
fn files_that_are_not_held_are_the_same_images_and_damage_found_late_is_stepped_over() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path(), 60);
    let held = Dataset::load(folder.path()).unwrap();
    let files = folder::load_within(folder.path(), 1000).unwrap();
    assert_eq!(held.train.resized(12).unwrap(), files.train.resized(12).unwrap());
    assert_eq!(held.test.normalisation().unwrap(), files.test.normalisation().unwrap());

    // Cut off after the data set was looked at.
    let cut = |i: usize| {
        let path = folder.path().join(format!("dog/{i}.jpg"));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    };
    let damaged = (0..60).find(|&i| {
        cut(i);
        files.train.resized(12).unwrap() != held.train.resized(12).unwrap()
    });
    let first = files.train.resized(12).unwrap();
    assert_eq!((first.len(), &first), (held.train.len(), &files.train.resized(12).unwrap()), "the same each time");
    (damaged.unwrap() + 1..60).for_each(cut);
    assert!(files.train.resized(12).unwrap_err().to_string().contains("cannot be decoded"));
}
